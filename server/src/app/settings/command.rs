//! Settings as flags of a command line, which clap reads.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Environment, Flags, Given, Kind, Setting};
use crate::app::config::{Config, SETTINGS};

/// Adds the flags of `settings` to a command.
pub fn augment(command: Command, settings: &[Setting]) -> Command {
    settings.iter().fold(command, |command, setting| {
        let Some(flag) = setting.flag else {
            return command;
        };
        let help = format!("{} [env: {}]", setting.help, setting.variable);
        let arg = Arg::new(flag)
            .long(flag)
            .value_name(setting.value_name)
            .value_parser(clap::value_parser!(OsString))
            .help(help);
        command.arg(match setting.kind {
            Kind::One | Kind::Secret => arg,
            Kind::Many | Kind::Lines => arg.action(ArgAction::Append),
            Kind::Switch => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true"),
        })
    })
}

impl Flags for ArgMatches {
    fn values(&self, flag: &str) -> Option<Vec<OsString>> {
        let values = self.try_get_many::<OsString>(flag).ok()??;
        Some(values.cloned().collect())
    }
}

impl Config {
    /// Reads this program's command line and environment. A value that cannot be understood ends the program with a
    /// sentence that says so, as `--help` ends it with the list of flags.
    pub fn from_args() -> Config {
        #[derive(clap::Parser)]
        struct Arguments {
            #[command(flatten)]
            config: Config,
        }
        <Arguments as clap::Parser>::parse().config
    }
}

impl clap::Args for Config {
    fn augment_args(command: Command) -> Command {
        augment(command, SETTINGS)
    }

    fn augment_args_for_update(command: Command) -> Command {
        augment(command, SETTINGS)
    }
}

impl clap::FromArgMatches for Config {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Config, clap::Error> {
        let environment = Environment::of_process();
        Config::read(&Given::new(matches, &environment))
            .map_err(|error| clap::Error::raw(ErrorKind::ValueValidation, format!("{error}\n")))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Config::from_arg_matches(matches)?;
        Ok(())
    }
}
