//! What `doorward demo` says when it starts: what to open with a browser, and what to try there.

use super::Scene;

/// The command that cuts Alice off.
#[must_use]
pub fn cut_off(scene: &Scene) -> String {
    scene.doorward("revoke user demo:alice --disable")
}

/// The command that lets her in again.
#[must_use]
pub fn let_in(scene: &Scene) -> String {
    scene.doorward("reactivate user demo:alice")
}

/// The first page of the demo, for a terminal.
#[must_use]
pub fn welcome(scene: &Scene) -> String {
    let page = |app: &str| scene.ports.page(app, "/");
    let usual = scene.ports == Scene::usual("").ports && scene.folder == ".demo";
    let tour = match usual {
        true => format!("{} demo tour", scene.doorward),
        false => {
            format!("{} demo tour --folder {} --port {}", scene.doorward, scene.folder, scene.ports.gateway)
        }
    };
    format!(
        "\nOpen with a browser, and sign in as Alice Adler. She works in HR; no password is asked for.\n\n\
         \x20 {wiki:<36} the wiki, for every employee\n\
         \x20 {payroll:<36} payroll, for HR: asks for a security key\n\
         \x20 {build:<36} builds, for engineers: Bob Brandt may, Alice may not\n\n\
         The browser warns once for each name: the demo made the certificate itself, just now, and nobody\n\
         vouches for it. On this machine that is as it should be: go on.\n\n\
         Cut Alice off while she has a page open. Its stream ends, and her next click is refused:\n\n\
         \x20 {cut_off}\n\n\
         And let her in again: she signs in anew.\n\n\
         \x20 {let_in}\n\n\
         More to try, with curl: {tour}\n\
         With `--log info` the demo shows what its gateway logs.\n\n",
        wiki = page("wiki"),
        payroll = page("payroll"),
        build = page("build"),
        cut_off = cut_off(scene),
        let_in = let_in(scene),
    )
}
