//! What is printed: progress on stderr, one JSON document on stdout.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use crate::load::Measured;
use crate::memory::Memory;
use crate::scenario::{FEW, MANY};

/// All that was measured.
#[derive(Serialize)]
pub struct Document {
    pub schema_version: u32,
    pub seconds: f64,
    pub rounds: usize,
    pub rates: Vec<Rate>,
    pub growth: Vec<Growth>,
    pub memory: Vec<Memory>,
}

/// One kind of request at one number of connections.
#[derive(Debug, Serialize)]
pub struct Rate {
    name: &'static str,
    connections: usize,
    requests_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
    bare_requests_per_second: f64,
    bare_p50_ms: f64,
    bare_p99_ms: f64,
    bare_cpu_us: f64,
    /// The median of the pairs' ratios.
    ratio: f64,
    /// The least that is promised.
    promised: Option<f64>,
}

impl Rate {
    /// The medians of these pairs, each of which was taken one after the other.
    pub fn of(name: &'static str, connections: usize, promised: Option<f64>, pairs: &[(Measured, Measured)]) -> Self {
        let of = |value: fn(&(Measured, Measured)) -> f64| median(pairs.iter().map(value).collect());
        Self {
            name,
            connections,
            requests_per_second: of(|pair| pair.0.rate),
            p50_ms: of(|pair| pair.0.p50),
            p99_ms: of(|pair| pair.0.p99),
            cpu_us: of(|pair| pair.0.cpu),
            bare_requests_per_second: of(|pair| pair.1.rate),
            bare_p50_ms: of(|pair| pair.1.p50),
            bare_p99_ms: of(|pair| pair.1.p99),
            bare_cpu_us: of(|pair| pair.1.cpu),
            ratio: of(|pair| pair.0.rate / pair.1.rate),
            promised,
        }
    }

    pub fn line(&self) -> String {
        let figures = |rate: f64, p50: f64, p99: f64, cpu: f64| {
            format!("{rate:7.0} req/s, p50 {p50:6.2} ms, p99 {p99:6.2} ms, cpu {cpu:4.0} µs")
        };
        format!(
            "{:14} {:3} connections: {}; bare {}; ratio {:.2}",
            self.name,
            self.connections,
            figures(self.requests_per_second, self.p50_ms, self.p99_ms, self.cpu_us),
            figures(self.bare_requests_per_second, self.bare_p50_ms, self.bare_p99_ms, self.bare_cpu_us),
            self.ratio,
        )
    }
}

/// What a list costs when there are a hundred times as many reports.
#[derive(Debug, Serialize)]
pub struct Growth {
    name: &'static str,
    connections: usize,
    few_p99_ms: f64,
    many_p99_ms: f64,
    ratio: f64,
    /// The most that is promised.
    promised: f64,
}

impl Growth {
    /// The medians of what was measured before and after.
    pub fn of(name: &'static str, connections: usize, few: &[Measured], many: &[Measured]) -> Self {
        let p99 = |all: &[Measured]| median(all.iter().map(|one| one.p99).collect());
        let (few, many) = (p99(few), p99(many));
        Self { name, connections, few_p99_ms: few, many_p99_ms: many, ratio: many / few, promised: 1.5 }
    }

    pub fn line(&self) -> String {
        format!(
            "{:14} {:3} connections: p99 {:6.2} ms with {FEW} reports, {:6.2} ms with {MANY}; ratio {:.2} (promised: at most {})",
            self.name, self.connections, self.few_p99_ms, self.many_p99_ms, self.ratio, self.promised,
        )
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub fn say(text: &str) {
    // There is nobody left to tell when stderr is closed.
    writeln!(std::io::stderr(), "{text}").ok();
}

pub fn print(document: &Document) -> Result<()> {
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(document)?)?;
    Ok(())
}
