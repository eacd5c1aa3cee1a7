use std::path::Path;

use proptest::prelude::*;

use super::*;

fn actions() -> Vec<ActionKeys> {
    let action = |name: &str, keys: &[&str]| ActionKeys {
        action: name.to_owned(),
        help: format!("what {name} does"),
        keys: keys.iter().map(|key| key.parse().unwrap()).collect(),
    };
    vec![
        action("zoom-in", &["+", "="]),
        action("zoom-out", &["-"]),
        action("toggle-scale", &["g"]),
        action("freeze", &["Space", "\\", "\""]),
        action("nothing", &[]),
    ]
}

fn parsed(text: &str) -> (UserConfig, Vec<String>) {
    let (config, problems) = parse(text, Path::new("c.toml"), &actions());
    (config, problems.iter().map(ToString::to_string).collect())
}

fn keys(config: &UserConfig, action: &str) -> Vec<String> {
    let found = config.keys.iter().find(|keys| keys.action == action);
    found
        .unwrap()
        .keys
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_printed_file_states_the_defaults() {
    let text = template(&actions());
    let (config, problems) = parsed(&text);
    assert_eq!(problems, [""; 0]);
    assert_eq!(config, UserConfig::new(&actions()));
    // Not because it is empty: it contains every key.
    for line in [
        "color = \"auto\"",
        "glyphs = \"auto\"",
        "fps = 15",
        "background = \"auto\"",
        "mouse = false",
        "zoom-in ",
    ] {
        assert!(
            text.lines().any(|l| l.starts_with(line)),
            "{line} in {text}"
        );
    }
    let uncommented = text
        .replace("# help = \"#1f80d0\". Heat maps keep their colors.", "")
        .replace("[colors]", "[colors]\nhelp = \"#1f80d0\"");
    let (config, problems) = parsed(&uncommented);
    assert_eq!(
        (config.colors, problems.len()),
        (vec![(Paint::Help, [0x1f, 0x80, 0xd0])], 0)
    );
}

#[test]
fn given_keys_and_colours_take_effect() {
    let (config, problems) = parsed(
        "color = '256'\nglyphs = \"ascii\"\nfps = 0x1e\n[colors]\nheld-out = \"#FFffff\"\n\
         [keys]\nzoom-in = \"Ctrl-Up\"\nnothing = ['n', \"F5\", 'n']\nfreeze = []\n",
    );
    assert_eq!(problems, [""; 0]);
    assert_eq!(config.color, ColorChoice::Ansi256);
    assert_eq!((config.glyphs, config.fps), (GlyphsChoice::Ascii, 30));
    assert_eq!(config.colors, [(Paint::HeldOut, [255; 3])]);
    assert_eq!(keys(&config, "zoom-in"), ["Ctrl-Up"]);
    assert_eq!(keys(&config, "nothing"), ["n", "F5"]);
    assert_eq!(keys(&config, "freeze"), [""; 0]);
    assert_eq!(keys(&config, "zoom-out"), ["-"]);
}

#[test]
fn each_bad_entry_is_reported_with_its_line_and_ignored_alone() {
    let text = "\
colour = \"never\"
glyphs = \"dots\"
fps = 500
color = 3
[colors]
helps = \"#000000\"
hurt = \"red\"
[keys]
zom-in = [\"z\"]
zoom-out = [\"Shift-g\", \"o\", 3, \"Ctrl-c\"]
toggle-scale = 7
freeze = [\"Nothing\"]
";
    let (config, problems) = parsed(text);
    let expected = [
        ("c.toml:1: unknown key `colour`", "did you mean `color`?"),
        ("c.toml:2: glyphs: unknown glyph set `dots`", "using auto"),
        ("c.toml:3: fps must be", "from 1 to 120; using 15"),
        (
            "c.toml:4: color must be a string",
            "not a number; using auto",
        ),
        ("c.toml:6: unknown color `helps`", "did you mean `help`?"),
        ("c.toml:7: hurt must be a color", "the theme's"),
        (
            "c.toml:9: unknown action `zom-in`",
            "did you mean `zoom-in`?",
        ),
        ("c.toml:10: zoom-out: `Shift-g`", "Shift and g"),
        (
            "c.toml:10: zoom-out: a key must be a string",
            "not a number",
        ),
        ("c.toml:10: `Ctrl-c` cannot", "not bound to `zoom-out`"),
        ("c.toml:11: toggle-scale must be a list", "not a number"),
        ("c.toml:12: freeze: unknown key `Nothing`", "F24"),
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, (start, rest)) in problems.iter().zip(expected) {
        assert!(
            problem.starts_with(start) && problem.contains(rest),
            "{problem}"
        );
    }
    assert_eq!(keys(&config, "zoom-out"), ["o"]);
    for (action, kept) in [("zoom-in", 2), ("toggle-scale", 1), ("freeze", 3)] {
        assert_eq!(keys(&config, action).len(), kept, "{action}");
    }
}

#[test]
fn conflicting_keys_are_reported_and_one_action_wins() {
    let (config, problems) = parsed("[keys]\nzoom-in = [\"g\"]\nzoom-out = [\"-\", \"g\"]\n");
    assert_eq!(keys(&config, "zoom-in"), ["g"]);
    assert_eq!(keys(&config, "zoom-out"), ["-"]);
    assert_eq!(keys(&config, "toggle-scale"), [""; 0]);
    let expected = [
        "c.toml:2: `g` is now bound to `zoom-in` instead of `toggle-scale`: bind that to another key, or to []",
        "c.toml:3: `g` is already bound to `zoom-in`; not bound to `zoom-out`",
    ];
    assert_eq!(problems, expected);
    // Two actions that swap keys do not conflict.
    let (config, problems) = parsed("[keys]\nzoom-in = [\"-\"]\nzoom-out = [\"+\"]\n");
    assert_eq!(
        (keys(&config, "zoom-in"), problems.len()),
        (vec!["-".to_owned()], 0)
    );
}

#[test]
fn invalid_toml_lines_are_ignored_alone() {
    let (config, problems) = parsed("fps = 30\nglyphs = \ncolor = \"16\"\n");
    assert_eq!((config.fps, config.color), (30, ColorChoice::Ansi16));
    assert_eq!(config.glyphs, GlyphsChoice::Auto);
    assert!(
        problems
            .iter()
            .any(|problem| problem.starts_with("c.toml:2: ")),
        "{problems:?}"
    );
}

#[test]
fn unreadable_files_are_problems_but_missing_ones_are_not() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("config.toml");
    assert_eq!(read(&path, &actions()).1, []);
    let problem = |path: &Path| {
        let (config, problems) = read(path, &actions());
        assert_eq!(config, UserConfig::new(&actions()));
        assert_eq!(problems.len(), 1);
        problems[0].to_string()
    };
    assert!(problem(folder.path()).ends_with("not a regular file"));
    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(problem(&path).contains("is not UTF-8"));
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(problem(&path).contains("larger than 1024 KiB"));
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let (config, _) = parsed(&text);
        prop_assert!(FPS.contains(&config.fps));
    }

    #[test]
    fn no_value_panics(
        name in prop::sample::select(vec!["fps", "glyphs", "colors", "keys", "keys.zoom-in", "colors.help"]),
        value in prop::sample::select(vec![
            "1", "-1", "99999999999999999999", "1.5", "nan", "true", "\"x\"", "[]", "[[]]", "{}",
            "{a = 1}", "1979-05-27", "'''\nx'''", "[\"a\", \"a\"]", "\"\\u0000\"",
        ]),
    ) {
        let (config, problems) = parsed(&format!("{name} = {value}\nfps2 = 1\n"));
        prop_assert!(FPS.contains(&config.fps));
        prop_assert!(problems.iter().all(|problem| problem.starts_with("c.toml:")));
        prop_assert!(!problems.is_empty());
    }
}

#[test]
fn background_and_mouse_can_be_configured() {
    let (config, problems) = parsed("background = \"light\"\nmouse = true\n");
    assert_eq!(problems, [""; 0]);
    assert_eq!((config.background, config.mouse), (Background::Light, true));
    let (config, problems) = parsed("background = \"grey\"\nmouse = 1\n");
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert_eq!((config.background, config.mouse), (Background::Auto, false));
}
