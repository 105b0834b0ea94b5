//! `doorward geoip lookup` and `doorward geoip status`.

use std::path::Path;

use doorward_context::config::{GeoipSection, check_geoip};
use doorward_context::{NamedNetworks, Places};
use doorward_geoip::FileStatus;
use doorward_model::{KeyPath, Place, Presence};
use serde_json::{Value, json};

use super::{Exit, Failure, Output, load_config, printable};
use crate::cli::{Format, GeoipFilesArgs, GeoipLookupArgs};
use crate::clock;
use crate::color::{ColorChoice, Style};

pub(super) fn lookup(args: &GeoipLookupArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let place = open(&args.files)?.locate(args.address);
    match args.files.format {
        Format::Human => out.text(told(&place))?,
        Format::Json => out.line(format_args!("{:#}", place_json(&place)))?,
    }
    Ok(Exit::Done)
}

pub(super) fn status(args: &GeoipFilesArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let files = open(args)?.status(clock::now());
    match args.format {
        Format::Human if files.is_empty() => out.line("no GeoIP files: every country is `ZZ`")?,
        Format::Human => {
            for file in &files {
                out.line(described(file, out.style))?;
            }
        }
        Format::Json => {
            let files: Vec<_> = files.iter().map(file_json).collect();
            out.line(format_args!("{:#}", json!({ "databases": files })))?;
        }
    }
    let stale = files.iter().any(|f| f.stale);
    Ok(if stale { Exit::Failed } else { Exit::Done })
}

/// The files that are named, or those of the configuration with its named networks.
fn open(args: &GeoipFilesArgs) -> Result<Places, Failure> {
    if args.database.is_empty() {
        let config = load_config(&args.config, ColorChoice::Auto)?;
        return Ok(Places::new(config.geoip.atlas, config.network.named, config.geoip.age_max));
    }
    let section = GeoipSection { databases: Some(args.database.clone()), age_days_max: None };
    let mut complaints = Vec::new();
    match check_geoip(&section, &KeyPath::top(), Path::new(""), &mut complaints) {
        Some(geoip) => Ok(Places::new(geoip.atlas, NamedNetworks::default(), geoip.age_max)),
        None => {
            let lines: Vec<_> = complaints.iter().map(|c| printable(&c.message)).collect();
            Err(Failure { exit: Exit::Failed, message: lines.join("\nerror: "), help: None })
        }
    }
}

fn told(place: &Place) -> String {
    let or_unknown = |known: Option<String>| known.unwrap_or_else(|| "unknown".to_owned());
    let networks: Vec<_> = place.networks.iter().map(String::as_str).collect();
    format!(
        "address     {}\ncountry     {}\ncontinent   {}\nASN         {}\nanonymizer  {}\nnetworks    {}\n",
        place.ip,
        place.country,
        or_unknown(place.continent.clone()),
        or_unknown(place.asn.map(|n| n.to_string())),
        presence(place.anonymizer),
        if networks.is_empty() { "none".to_owned() } else { networks.join(", ") },
    )
}

const fn presence(presence: Presence) -> &'static str {
    match presence {
        Presence::Yes => "yes",
        Presence::No => "no",
        Presence::Unknown => "unknown",
    }
}

fn place_json(place: &Place) -> Value {
    json!({
        "address": place.ip, "country": place.country.as_str(), "continent": place.continent,
        "asn": place.asn, "anonymizer": presence(place.anonymizer), "networks": place.networks,
    })
}

fn described(file: &FileStatus, style: Style) -> String {
    let age = match file.age.as_secs() / 86_400 {
        1 => "1 day old".to_owned(),
        days => format!("{days} days old"),
    };
    let age = if file.stale { style.red(&format!("{age}, stale")) } else { style.green(&age) };
    let (path, kind) = (file.path.display(), printable(&file.database_type));
    let mut text = format!("{path}: {kind}, IPv{}, {} bytes, {age}", file.ip_version, file.bytes);
    if let Some(refused) = &file.refused {
        text.push_str(&format!("\n  the file as it is now was refused: {}", printable(refused)));
    }
    text
}

fn file_json(file: &FileStatus) -> Value {
    json!({
        "file": file.path, "type": file.database_type, "ip_version": file.ip_version, "bytes": file.bytes,
        "built_at_seconds": file.built_at_seconds, "age_seconds": file.age.as_secs(), "stale": file.stale,
        "refused": file.refused,
    })
}
