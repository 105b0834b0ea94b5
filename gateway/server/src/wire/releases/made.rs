//! Bundles for tests.

use std::fs;
use std::path::Path;

use doorward_model::UnixMillis;
use doorward_policy::PolicyFiles;
use doorward_workbench::release::{self, About, Attestation};

/// A bundle of a folder with a schema and a file that says this and no policy.
pub(super) fn bundle(folder: &Path, said: &str, sequence: u64, results: &[Attestation]) -> Vec<u8> {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("schema.cedarschema"), "entity A;").unwrap();
    fs::write(folder.join("a.cedar"), format!("// {said}")).unwrap();
    let about = About {
        sequence,
        created_at: UnixMillis(1),
        author: "desk".to_owned(),
        note: None,
        tool: "doorward 0".to_owned(),
        base: None,
        results: results.to_vec(),
    };
    release::build(&PolicyFiles::read(folder).unwrap(), about).unwrap()
}
