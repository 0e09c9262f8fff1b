//! What the kernel tells of a process.

use anyhow::{Context, Result};

/// The resident memory of a process, in MB.
pub fn memory(id: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kilobytes: f64 = line.split_whitespace().nth(1).context("no value")?.parse()?;
    Ok(kilobytes / 1024.0)
}

/// The processor time that a process has taken so far, in seconds.
pub fn processor_time(id: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    // proc(5): after the name, which may hold anything, come eleven fields and then two counts of hundredths of a second.
    let fields = stat.rsplit_once(')').context("no name")?.1.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = fields.map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}
