//! Commands that the documentation shows must be commands that there are.
//!
//! In fenced `sh` blocks of Markdown, every line that calls `millstream` (by name, by path or with
//! `cargo run`) must go on with a known sub-command or an option.

use super::numbered;

/// What can come after `millstream`.
const COMMANDS: &[&str] = &[
    "demo",
    "run",
    "check",
    "explain",
    "sql",
    "savepoint",
    "plan",
    "sim",
    "plan",
    "lake",
    "verify",
    "backup",
    "restore",
    "generate",
    "help",
];

const LANGUAGES: &[&str] = &["sh", "bash", "console", "shell"];

/// Checks a Markdown file.
pub fn commands(path: &str, text: &str) -> Vec<String> {
    let mut found = vec![];
    let mut is_shell = false;
    let mut is_open = false;
    for (number, line) in numbered(text) {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            is_open = !is_open;
            is_shell = is_open && LANGUAGES.contains(&language.trim());
            continue;
        }
        let Some(word) = is_shell.then(|| sub_command(line)).flatten() else {
            continue;
        };
        if !word.starts_with('-') && !COMMANDS.contains(&word) {
            found.push(format!(
                "{path}:{number}: `millstream {word}` is no command"
            ));
        }
    }
    found
}

/// The word after `millstream` in a line of shell, if the line calls it.
fn sub_command(line: &str) -> Option<&str> {
    let line = line.trim_start().trim_start_matches("$ ");
    if let Some(rest) = line.strip_prefix("cargo run") {
        let (_, command) = rest.split_once(" -- ")?;
        return command.split_whitespace().next();
    }
    let mut words = line
        .split_whitespace()
        .skip_while(|word| word.contains('='));
    let program = words.next()?;
    let is_millstream = program == "millstream" || program.ends_with("/millstream");
    words.next().filter(|_| is_millstream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[usize]) {
        let found = commands("README.md", text);
        let lines = found.iter().map(|finding| {
            let line = finding.split(':').nth(1).unwrap();
            line.parse::<usize>().unwrap()
        });
        assert_eq!(lines.collect::<Vec<_>>(), expected, "{found:?}");
    }

    #[test]
    fn commands_in_shell_blocks_exist() {
        check(
            "```sh\nmillstream demo --rate 5\nmillstream fly\n```\n",
            &[3],
        );
        check("```sh\n$ target/release/millstream jump\n```\n", &[2]);
        check(
            "```sh\ncargo run --release -- demo\ncargo run --release -- walk\n```\n",
            &[3],
        );
        check(
            "```sh\nMILLSTREAM_LOG=debug millstream stroll x\n```\n",
            &[2],
        );
        check(
            "```sh\nmillstream --help\ncargo test --workspace\n# millstream is fast\n```\n",
            &[],
        );
    }

    #[test]
    fn other_text_is_free() {
        check(
            "millstream is fast\n```sql\nmillstream fly\n```\n```\nmillstream fly\n```\n",
            &[],
        );
    }
}
