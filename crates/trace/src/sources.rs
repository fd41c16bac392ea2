//! What the sources have: tests by path and name, and the identifiers that comments cite.
use std::path::Path;
use std::{fs, io};

/// How many lines above a function its attributes may begin.
const ATTRIBUTES: usize = 6;

/// What is wrong with the name of a test, such as `crates/wire/tests/malformed.rs::fixed_sizes_are_exact`: `None` if there is a
/// function of that name in that file, and it is a test that runs.
#[must_use]
pub fn problem_with(root: &Path, test: &str) -> Option<String> {
    let Some((file, name)) = test.split_once("::") else {
        return Some("is not of the form `path/to/file.rs::name`".to_owned());
    };
    let text = match fs::read_to_string(root.join(file)) {
        Ok(text) => text,
        Err(error) => return Some(format!("its file cannot be read: {error}")),
    };
    let lines: Vec<&str> = text.lines().collect();
    let Some(at) = lines.iter().position(|line| declares(line, name)) else {
        return Some("there is no such function".to_owned());
    };
    let above = lines.get(at.saturating_sub(ATTRIBUTES)..at).unwrap_or_default();
    // Back to the end of what stands before the function.
    let attributes = || above.iter().rev().map(|line| line.trim()).take_while(|line| *line != "}");
    if !attributes().any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test")) {
        return Some("it is not marked as a test".to_owned());
    }
    attributes().any(|line| line.starts_with("#[ignore")).then(|| "it is ignored".to_owned())
}

fn declares(line: &str, name: &str) -> bool {
    let declared = line.trim().trim_start_matches("pub(crate) ").trim_start_matches("async ");
    let rest = declared.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name));
    rest.is_some_and(|rest| rest.starts_with(['(', '<']))
}

/// The identifiers that the sources below `root` cite, each with its file and line.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn cited(root: &Path) -> io::Result<Vec<(String, String)>> {
    let mut citations = Vec::new();
    for folder in ["crates", "interop", "fuzz", "benches"] {
        collect(root, &root.join(folder), &mut citations)?;
    }
    Ok(citations)
}

fn collect(root: &Path, folder: &Path, citations: &mut Vec<(String, String)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                collect(root, &path, citations)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            for (number, line) in fs::read_to_string(&path)?.lines().enumerate() {
                let file = path.strip_prefix(root).unwrap_or(&path).display();
                citations.extend(ids_in(line).map(|id| (id.to_owned(), format!("{file}:{}", number + 1))));
            }
        }
    }
    Ok(())
}

/// What has the form of an identifier: four digits, a section, two digits.
fn ids_in(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'));
    words.map(|word| word.trim_end_matches(['.', '-'])).filter(|word| {
        let mut parts = word.split('-');
        let (rfc, section, number) = (parts.next(), parts.next(), parts.next());
        rfc.is_some_and(|rfc| matches!(rfc, "5352" | "5353" | "5354" | "5355" | "5356"))
            && section.is_some_and(|section| !section.is_empty())
            && number.is_some_and(|number| number.len() == 2)
            && parts.next().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_found_where_it_is_and_nowhere_else() {
        let root = crate::root();
        let here = "crates/trace/src/sources.rs";
        assert_eq!(
            problem_with(&root, &format!("{here}::a_test_is_found_where_it_is_and_nowhere_else")),
            None
        );
        for (test, problem) in [
            (format!("{here}::a_test_is_found"), "there is no such function"),
            (format!("{here}::problem_with"), "there is no such function"),
            (format!("{here}::declares"), "it is not marked as a test"),
            (format!("{here}::ids_in"), "it is not marked as a test"),
            ("nonsense".to_owned(), "is not of the form `path/to/file.rs::name`"),
        ] {
            assert_eq!(problem_with(&root, &test).as_deref(), Some(problem), "{test}");
        }
        let missing = problem_with(&root, "crates/nowhere.rs::name");
        assert!(missing.is_some_and(|problem| problem.contains("cannot be read")));
    }

    #[test]
    fn citations_are_told_from_other_numbers() {
        let found: Vec<_> =
            ids_in("// 5352-3.1-19, (5353-3.2.2.1-03): RFC 5352-bis, 5352-9, 5355-2.3, 1.2.3-04, 5353-4-01.")
                .collect();
        assert_eq!(found, ["5352-3.1-19", "5353-3.2.2.1-03", "5353-4-01"]);
    }
}
