//! The default file, as `lcascope config --print-default` prints it.

use std::fmt::Write;

use super::{ActionKeys, FPS, Paint, UserConfig};

const HEAD: &str = "\
# Configuration of lcascope's explorer: lcascope/config.toml in $XDG_CONFIG_HOME, by default
# ~/.config/lcascope/config.toml. `lcascope config` checks it.
# All values here are the defaults, which also apply to entries that you omit. Flags override this file.

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
    line("# Glyphs of charts: auto (braille if the locale is UTF-8, otherwise ascii), braille, blocks or ascii".to_owned());
    line(format!("glyphs = \"{}\"", defaults.glyphs));
    let (least, most) = (FPS.start(), FPS.end());
    line(format!("# Maximum frames per second, {least} to {most}"));
    line(format!("fps = {}", defaults.fps));
    line("# Background of the terminal: auto (colors for both), dark or light".to_owned());
    line(format!("background = \"{}\"", defaults.background));
    line("# Clicks and the wheel; selecting text with the mouse then needs Shift".to_owned());
    line(format!("mouse = {}", defaults.mouse));
    line(String::new());
    line("# Colors instead of the theme's, on terminals with 256 or more, for example".to_owned());
    line("# help = \"#1f80d0\". Heat maps keep their colors.".to_owned());
    line("[colors]".to_owned());
    for (name, what) in Paint::ALL.map(Paint::words) {
        line(format!("# {name:9} {what}"));
    }
    line(String::new());
    line("# Keys: a list replaces the keys of the action, [] removes them.".to_owned());
    line("# Keys are characters (G is Shift with g), Space, Enter, Tab, Esc, Left, PageUp, F1 and so on,".to_owned());
    line(
        "# optionally after Ctrl-, Alt- or Shift-. Ctrl-c and Ctrl-z cannot be rebound.".to_owned(),
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
