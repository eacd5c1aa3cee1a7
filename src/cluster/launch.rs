//! The number of processes that a launcher, such as `mpirun`, says it has started.

use std::env;

use crate::config::ConfigError;

/// Variables in which launchers tell a process how many there are, with the launcher's name. The first one counts: the
/// processes of `mpirun` in a job of Slurm also have the last, which then counts other processes.
const COUNTS: [(&str, &str); 4] = [
    ("OMPI_COMM_WORLD_SIZE", "mpirun"),
    ("PMI_SIZE", "mpirun"),
    ("FLUX_JOB_SIZE", "flux run"),
    // Only in the processes of `srun`, unlike SLURM_NTASKS, which a batch script has too.
    ("SLURM_STEP_NUM_TASKS", "srun"),
];

/// A launch of several processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    pub processes: usize,
    variable: &'static str,
    launcher: &'static str,
}

impl Launch {
    /// Returns the launch of which this process is a part; `None` if it was started alone.
    ///
    /// # Errors
    /// A launcher's variable is not a number.
    pub fn of_this_process() -> Result<Option<Self>, ConfigError> {
        Self::find(|name| Some(env::var_os(name)?.to_string_lossy().into_owned()))
    }

    fn find(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, ConfigError> {
        let said = COUNTS
            .iter()
            .find_map(|&(name, launcher)| Some((name, launcher, variable(name)?)));
        let Some((variable, launcher, value)) = said else {
            return Ok(None);
        };
        let processes = value.trim().parse().map_err(|_| {
            ConfigError(format!(
                "the environment variable {variable} is not a number of processes: `{value}`"
            ))
        })?;
        Ok((processes > 1).then_some(Self {
            processes,
            variable,
            launcher,
        }))
    }

    /// Returns the error for a launch that cannot be used, and how to start separate runs instead.
    pub fn refused(&self, why: &str) -> ConfigError {
        let Self {
            processes,
            variable,
            launcher,
        } = self;
        ConfigError(format!(
            "{launcher} has started {processes} processes, but {why}. For separate runs, each with a file of its own, \
             start lcascope with `env -u {variable}`"
        ))
    }

    /// Returns the error for processes that MPI does not connect.
    #[cfg_attr(not(feature = "mpi"), expect(dead_code, reason = "for MPI"))]
    pub fn unconnected(&self, connected: usize) -> ConfigError {
        let remedy = match self.launcher {
            "srun" => {
                "start them with `srun --mpi=pmix` (`srun --mpi=list` shows what there is), or with the `mpirun` of the MPI \
                 library that lcascope was built with"
            }
            _ => "start them with the `mpirun` of the MPI library that lcascope was built with",
        };
        ConfigError(format!(
            "{} has started {} processes ({}), but MPI connects {connected}: {remedy}",
            self.launcher, self.processes, self.variable
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Result<Option<usize>, String> {
        let find = |name: &str| {
            let mut all = variables.iter();
            let value = all.find_map(|(other, value)| (*other == name).then_some(*value));
            value.map(str::to_owned)
        };
        let launch = Launch::find(find).map_err(|error| error.to_string())?;
        Ok(launch.map(|launch| launch.processes))
    }

    #[test]
    fn the_launcher_nearest_to_the_process_counts() {
        assert_eq!(found(&[]), Ok(None));
        // A batch script of Slurm is one process, whatever the job may start.
        assert_eq!(found(&[("SLURM_NTASKS", "8")]), Ok(None));
        assert_eq!(found(&[("SLURM_STEP_NUM_TASKS", "8")]), Ok(Some(8)));
        let inside = [("SLURM_STEP_NUM_TASKS", "2"), ("OMPI_COMM_WORLD_SIZE", "1")];
        assert_eq!(found(&inside), Ok(None));
        assert_eq!(found(&[("PMI_SIZE", "4")]), Ok(Some(4)));
        let error = found(&[("PMI_SIZE", "many")]).unwrap_err();
        assert!(
            error.contains("PMI_SIZE") && error.contains("`many`"),
            "{error}"
        );
    }
}
