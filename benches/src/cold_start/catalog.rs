//! The images that are started, what is run in each, and the line that says it works.

use anyhow::Context;

/// One image and one command.
pub(crate) struct Workload {
    /// How the benchmark calls it.
    pub(crate) name: &'static str,
    /// Its tag in the layout that `benches/images` makes.
    pub(crate) tag: &'static str,
    /// The command.
    pub(crate) argv: &'static [&'static str],
    /// What the awaited line starts with.
    pub(crate) line: &'static str,
}

const PYTHON: &str = "/usr/bin/python3";

const PANDAS: &str = "
import numpy, pandas
from sklearn.linear_model import LinearRegression
frame = pandas.DataFrame({'x': numpy.arange(100.0), 'y': numpy.arange(100.0) * 3 + 1})
model = LinearRegression().fit(frame[['x']], frame['y'])
print('fitted', round(float(model.coef_[0]), 3), flush=True)
";

const TORCH: &str = "
import torch
model = torch.nn.Linear(16, 4)
print('forward', tuple(model(torch.ones(2, 16)).shape), flush=True)
";

/// All that are known; `hello` is the fixture, for runs that only show that the benchmark still works.
pub(crate) const WORKLOADS: [Workload; 7] = [
    Workload {
        name: "hello",
        tag: "hello",
        argv: &["/usr/bin/python3.11", "-c", "print('hello', flush=True)"],
        line: "hello",
    },
    Workload {
        name: "python",
        tag: "python",
        argv: &[PYTHON, "-c", "print('hello', flush=True)"],
        line: "hello",
    },
    Workload { name: "pandas", tag: "pandas", argv: &[PYTHON, "-c", PANDAS], line: "fitted 3.0" },
    Workload {
        name: "node",
        tag: "node",
        argv: &["/usr/bin/node", "/srv/app/server.js"],
        line: "answered 200",
    },
    Workload {
        name: "java",
        tag: "java",
        argv: &["/usr/bin/java", "-cp", "/srv/app", "Hello"],
        line: "hello from java",
    },
    Workload { name: "torch", tag: "torch", argv: &[PYTHON, "-c", TORCH], line: "forward (2, 4)" },
    Workload {
        name: "reader",
        tag: "pandas",
        argv: &["/bin/sh", "-c", "find / -xdev -type f -exec cat {} + | wc -c && echo everything is read"],
        line: "everything is read",
    },
];

/// The workload of a name.
pub(crate) fn workload(name: &str) -> anyhow::Result<&'static Workload> {
    let known = || WORKLOADS.map(|workload| workload.name).join(", ");
    WORKLOADS
        .iter()
        .find(|workload| workload.name == name)
        .with_context(|| format!("no image is called {name}; there are {}", known()))
}
