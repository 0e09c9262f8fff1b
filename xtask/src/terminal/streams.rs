//! Where lines go, and where answers come from.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, Result};

/// Where lines go.
pub enum Stream {
    /// Stdout.
    Out(anstream::AutoStream<io::Stdout>),
    /// Stderr.
    Err(anstream::AutoStream<io::Stderr>),
    /// Nowhere: a test looks at them.
    #[cfg(test)]
    Kept(Vec<u8>),
}

/// Who answers questions.
pub enum Input {
    /// Whoever types what we read.
    Stdin,
    /// A test, with these words; nobody where there are none.
    #[cfg(test)]
    Typed(Option<&'static str>),
}

impl Input {
    /// Whether there is somebody to ask.
    pub fn is_there(&self) -> bool {
        match self {
            Self::Stdin => io::stdin().is_terminal(),
            #[cfg(test)]
            Self::Typed(words) => words.is_some(),
        }
    }

    /// What is answered.
    pub fn line(&self) -> Result<String> {
        let mut answer = String::new();
        match self {
            Self::Stdin => drop(io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?),
            #[cfg(test)]
            Self::Typed(words) => answer.push_str(words.unwrap_or_default()),
        }
        Ok(answer)
    }
}

impl Stream {
    /// How wide its terminal is; without bound where it is none.
    pub fn columns(&self) -> usize {
        let size = match self {
            Self::Out(_) => terminal_size::terminal_size_of(io::stdout()),
            Self::Err(_) => terminal_size::terminal_size_of(io::stderr()),
            #[cfg(test)]
            Self::Kept(_) => None,
        };
        size.map_or(usize::MAX, |(terminal_size::Width(columns), _)| usize::from(columns))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Out(stream) => stream.write(bytes),
            Self::Err(stream) => stream.write(bytes),
            #[cfg(test)]
            Self::Kept(kept) => kept.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Out(stream) => stream.flush(),
            Self::Err(stream) => stream.flush(),
            #[cfg(test)]
            Self::Kept(kept) => kept.flush(),
        }
    }
}
