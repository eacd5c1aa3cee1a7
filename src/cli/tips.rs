//! Tips for unknown flags.

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Arg, Command};
use strsim::damerau_levenshtein;

use crate::config::{called_here, means_network};

/// Replaces clap's advice on an unknown flag of `command`, whose similarity measure misleads (from `--lr` to
/// `--tolerance`): with the flag that has this name in other programs, or with one of similar spelling.
pub fn advise(error: &mut Error, command: &mut Command) {
    if error.kind() != ErrorKind::UnknownArgument {
        return;
    }
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else {
        return;
    };
    let Some(name) = given.strip_prefix("--").map(str::to_owned) else {
        return;
    };
    error.remove(ContextKind::SuggestedArg);
    error.remove(ContextKind::Suggested);
    // Clap's usage line shows the wrong flag.
    let usage = ContextValue::StyledStr(command.render_usage());
    error.insert(ContextKind::Usage, usage);
    if let Some(tip) = tip(&name, command) {
        let tips = vec![tip.into()];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
}

fn tip(name: &str, command: &Command) -> Option<String> {
    let flags = || command.get_arguments().filter_map(Arg::get_long);
    let has = |flag: &str| flags().any(|own| flag.split(' ').next() == Some(own));
    if let Some(flag) = called_here(name).filter(|flag| has(flag)) {
        return Some(format!("use '--{flag}'"));
    }
    if means_network(name) && has("learning-rate") {
        let example = format!("lcascope {} mnist-fc", command.get_name());
        return Some(format!("give the network without a flag: '{example}'"));
    }
    let name = name.replace('_', "-");
    let near = flags().map(|flag| (damerau_levenshtein(&name, flag), flag));
    let near = near.filter(|&(distance, flag)| {
        3 * distance <= flag.len().min(name.len()) || (name.len() > 2 && flag.starts_with(&name))
    });
    let (_, flag) = near.min()?;
    Some(format!("did you mean '--{flag}'?"))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use crate::cli::Cli;
    use crate::config::ELSEWHERE;

    fn tip_for(args: &[&str]) -> String {
        let mut error = Cli::try_parse_from([&["lcascope"], args].concat()).unwrap_err();
        let mut all = Cli::command();
        all.build();
        let command = all.find_subcommand_mut(args[0]).unwrap();
        super::advise(&mut error, command);
        error.to_string()
    }

    #[test]
    fn a_flag_name_of_another_tool_suggests_ours() {
        for (given, meant) in [
            ("--lr", "'--learning-rate'"),
            ("--LR", "'--learning-rate'"),
            ("--learning_rate", "'--learning-rate'"),
            ("--learing-rate", "'--learning-rate'"),
            ("--bs", "'--batch-size'"),
            ("--batch_size", "'--batch-size'"),
            ("--epoch", "'--epochs'"),
            ("--num_epochs", "'--epochs'"),
            ("--max-steps", "'--steps'"),
            ("--wd", "'--weight-decay'"),
            ("--data-dir", "'--data'"),
            ("--outdir", "'--output'"),
            ("--num-workers", "'--threads'"),
            ("--gpu", "'--device cuda:0'"),
            ("--no-cuda", "'--device cpu'"),
            ("--model", "'lcascope train mnist-fc'"),
            ("--optimiser", "'--optimizer'"),
            ("--validation", "'--validation-size'"),
            ("--freeze", "'--layer'"),
            ("--integrate", "'--integrator'"),
            ("--record-weight", "'--record-weights'"),
        ] {
            let said = tip_for(&["train", given, "1"]);
            assert!(said.contains(meant), "{given}: {said}");
            assert_eq!(said.matches("tip:").count(), 1, "{given}: {said}");
            assert!(said.contains("Usage: lcascope train [OPTIONS]"), "{said}");
        }
        // For other commands, only flags that they have.
        assert!(tip_for(&["report", "a.h5", "--out", "x"]).contains("'--output'"));
        assert!(tip_for(&["open", "a.h5", "--glyph", "x"]).contains("'--glyphs'"));
    }

    #[test]
    fn an_unrelated_flag_gets_no_tip() {
        for args in [
            ["train", "--nonsense"],
            ["train", "--lx"],
            ["train", "--verbose"],
            ["train", "--dropout"],
            ["info", "--lr"],
            ["open", "--bs"],
            ["export", "--model"],
        ] {
            let said = tip_for(&args);
            assert!(!said.contains("tip:"), "{args:?}: {said}");
            assert!(said.contains(args[1]), "{args:?}: {said}");
        }
    }

    #[test]
    fn every_flag_that_a_tip_names_exists() {
        let command = Cli::command();
        let train = command.find_subcommand("train").unwrap();
        for (others, here) in ELSEWHERE {
            let flag = here.split(' ').next();
            assert!(
                train.get_arguments().any(|own| own.get_long() == flag),
                "{here}"
            );
            for other in others {
                let taken = train
                    .get_arguments()
                    .any(|own| own.get_long() == Some(other));
                assert!(!taken, "{other} is a flag itself");
            }
        }
    }
}
