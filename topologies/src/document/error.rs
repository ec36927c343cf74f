//! What is wrong with an input file, where, and what would be right.

use std::fmt;
use std::sync::Arc;

use miette::{LabeledSpan, NamedSource, SourceCode};

use super::DocumentPath;
use super::redact::{is_secret, redacted};

/// What is wrong with an input file: where, what, and what would be right.
///
/// Prints as `FILE:LINE:COLUMN: message`; as a [`miette::Diagnostic`] it also shows the line and the help.
#[derive(Debug)]
pub struct InputError {
    /// The file's path or the catalogue entry's name.
    pub document: String,
    /// 1-based line and column; absent if the value came from `--set`, or the file could not be read.
    pub position: Option<(usize, usize)>,
    /// Where in the document, as `--set` would write it.
    pub path: DocumentPath,
    /// What is wrong, in lower case.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    excerpt: Option<Box<Excerpt>>,
}

/// A `key=value` of the command line, as it was typed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Setting {
    /// What stands before it: `--set`, or nothing.
    pub option: String,
    /// Before the equals sign.
    pub key: String,
    /// Behind it.
    pub value: String,
}

impl Setting {
    /// The value of a `--set`.
    pub fn overriding(key: &str, value: &str) -> Self {
        Setting {
            option: "--set".to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        }
    }

    /// An argument that is nothing but `key=value`.
    pub fn bare(key: &str, value: &str) -> Self {
        Setting {
            option: String::new(),
            ..Setting::overriding(key, value)
        }
    }

    /// The same without a secret, whoever typed it: it was in the shell's history already, and need not be in a log.
    fn redacted(&self) -> Self {
        let value = match is_secret(&self.key) {
            true => "*".repeat(self.value.len()),
            false => redacted(&self.value),
        };
        Setting {
            value,
            ..self.clone()
        }
    }

    /// Whether it was typed behind an option.
    pub fn is_option(&self) -> bool {
        !self.option.is_empty()
    }
}

/// The text an error points into.
#[derive(Debug)]
struct Excerpt {
    /// The `key=value` if the value came from the command line.
    setting: Option<Setting>,
    source: NamedSource<Arc<str>>,
    /// Bytes of `source`.
    offset: usize,
    length: usize,
}

impl InputError {
    /// An error about `document` as a whole.
    pub fn new(document: impl Into<String>, message: impl Into<String>) -> Self {
        InputError {
            document: document.into(),
            position: None,
            path: DocumentPath::root(),
            message: message.into(),
            help: None,
            excerpt: None,
        }
    }

    /// The same error with a word on what would be right.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The `key=value` of the command line that the wrong value came from.
    pub fn setting(&self) -> Option<&Setting> {
        self.excerpt.as_ref()?.setting.as_ref()
    }

    /// Points the error at `length` bytes from `offset` of the document's `text`.
    pub(super) fn at_text(
        mut self,
        text: &Arc<str>,
        (line, column): (usize, usize),
        offset: usize,
        length: usize,
    ) -> Self {
        self.position = Some((line, column));
        let source = NamedSource::new(&self.document, Arc::from(redacted(text)));
        self.excerpt = Some(Box::new(Excerpt {
            setting: None,
            source,
            offset,
            length,
        }));
        self
    }

    /// Points the error at the value of a `key=value` of the command line.
    #[must_use]
    pub fn at_setting(mut self, setting: &Setting) -> Self {
        let setting = setting.redacted();
        let name = match setting.option.as_str() {
            "" => "command line",
            option => option,
        };
        let text = format!("{}={}", setting.key, setting.value);
        let excerpt = Excerpt {
            source: NamedSource::new(name, Arc::from(text)),
            offset: setting.key.len() + 1,
            length: setting.value.len(),
            setting: Some(setting),
        };
        self.excerpt = Some(Box::new(excerpt));
        self
    }

    /// Points the error at the part of its key that `below` others follow.
    pub(super) fn at_key(self, setting: &Setting, below: usize) -> Self {
        let key = &setting.key;
        let led_to = key.rsplitn(below + 1, '.').last().unwrap_or(key);
        let begin = led_to.rfind('.').map_or(0, |dot| dot + 1);
        let mut error = self.at_setting(setting);
        if let Some(excerpt) = &mut error.excerpt {
            (excerpt.offset, excerpt.length) = (begin, led_to.len() - begin);
        }
        error
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.option.is_empty() {
            write!(f, "{} ", self.option)?;
        }
        write!(f, "{}={}", self.key, self.value)
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.position, self.setting()) {
            (Some((line, column)), _) => write!(f, "{}:{line}:{column}: ", self.document)?,
            (None, Some(setting)) => write!(f, "{} with {setting}: ", self.document)?,
            (None, None) => write!(f, "{}: ", self.document)?,
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for InputError {}

impl miette::Diagnostic for InputError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt
            .as_ref()
            .map(|excerpt| &excerpt.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let excerpt = self.excerpt.as_ref()?;
        let label = LabeledSpan::new(Some("here".to_owned()), excerpt.offset, excerpt.length);
        Some(Box::new(std::iter::once(label)))
    }
}
