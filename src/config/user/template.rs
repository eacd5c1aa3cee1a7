//! The default file, as `lcascope config --print-default` prints it.

use std::fmt::Write;

use super::{ActionKeys, FPS, Paint, UserConfig};

const HEAD: &str = "\
# The configuration of lcascope's explorer. It goes to lcascope/config.toml in $XDG_CONFIG_HOME, that is
# ~/.config/lcascope/config.toml as a rule. `lcascope config` says whether it can be used.
# Everything here is the default: what you leave out stays as it is. Flags win over this file.

";

/// Returns the file with all defaults.
#[must_use]
pub fn template(actions: &[ActionKeys]) -> String {
    let defaults = UserConfig::new(actions);
    let mut out = HEAD.to_owned();
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    line("# auto (as the terminal reports), truecolor, 256, 16 or never".to_owned());
    line(format!("color = \"{}\"", defaults.color));
    line("# What charts are drawn with: auto (braille, or ascii unless the locale is UTF-8), braille, blocks or ascii".to_owned());
    line(format!("glyphs = \"{}\"", defaults.glyphs));
    let (least, most) = (FPS.start(), FPS.end());
    line(format!("# Frames a second at most, {least} to {most}"));
    line(format!("fps = {}", defaults.fps));
    line(
        "# What the terminal\'s background is: auto (colors that read on both), dark or light"
            .to_owned(),
    );
    line(format!("background = \"{}\"", defaults.background));
    line("# Whether clicks and the wheel do something: selecting text with the mouse needs Shift then".to_owned());
    line(format!("mouse = {}", defaults.mouse));
    line(String::new());
    line(
        "# Colors in place of the theme's, where the terminal has 256 or more, for example"
            .to_owned(),
    );
    line("# help = \"#1f80d0\". Heat maps keep theirs.".to_owned());
    line("[colors]".to_owned());
    for (name, what) in Paint::ALL.map(Paint::words) {
        line(format!("# {name:9} {what}"));
    }
    line(String::new());
    line("# Keys: a list replaces the action's own, [] leaves it without.".to_owned());
    line("# Keys are characters (G is Shift and g), Space, Enter, Tab, Esc, Left, PageUp, F1 and so on,".to_owned());
    line(
        "# with Ctrl-, Alt- or Shift- before them. Ctrl-c and Ctrl-z always do the same."
            .to_owned(),
    );
    line("[keys]".to_owned());
    let width = actions.iter().map(|action| action.action.len()).max();
    for action in actions {
        let keys: Vec<String> = action
            .keys
            .iter()
            .map(|key| quoted(&key.to_string()))
            .collect();
        let entry = format!(
            "{:width$} = [{}]",
            action.action,
            keys.join(", "),
            width = width.unwrap_or(0)
        );
        line(format!("{entry:46} # {}", action.help));
    }
    out
}

/// Returns a quoted TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
