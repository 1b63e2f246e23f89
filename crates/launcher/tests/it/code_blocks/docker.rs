//! Commands of `docker`: the file and the stage of a build, and the services of compose exist.

use super::Checked;
use super::facts::{is_file, text};

pub fn check(arguments: &[&str]) -> Checked {
    match arguments {
        ["build", "-f", file, "--target", stage, "."] => {
            let is_stage = is_file(file) && text(file).lines().any(|line| line.ends_with(&format!(" AS {stage}")));
            if is_stage { Ok(()) } else { Err(format!("no stage {stage} in {file}")) }
        }
        ["compose", rest @ ..] => {
            let compose = text("docker-compose.yml");
            for pair in rest.windows(2).filter(|pair| pair[0] == "--scale") {
                let service = pair[1].split('=').next().unwrap_or_default();
                if !compose.contains(&format!("\n  {service}:\n")) {
                    return Err(format!("no service {service}"));
                }
            }
            Ok(())
        }
        _ => Err(format!("no checker for docker {}", arguments.join(" "))),
    }
}
