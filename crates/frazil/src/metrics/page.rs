//! A page of metrics while it is written: families of counters, gauges and histograms.

use std::fmt::Error;

use frazil_cache::host::{LATENCY_BOUNDS_US, MeterCounts};
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Names and values of labels.
pub(super) type Labels<'a> = [(&'a str, &'a str)];

/// The page.
pub(super) struct Page<'a, 'e>(pub(super) &'a mut DescriptorEncoder<'e>);

impl Page<'_, '_> {
    /// A histogram for each of several meters.
    pub(super) fn latency(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        meters: &[(String, MeterCounts)],
    ) -> Result<(), Error> {
        let mut family = self.family(name, help, MetricType::Histogram)?;
        for (meter, counts) in meters {
            let bounds = LATENCY_BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(counts.latency.buckets.iter().copied()).collect();
            let (sum, count) = (counts.latency.sum_us as f64 / 1e6, counts.latency.count());
            let labels = [(label, meter.as_str())];
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    pub(super) fn by_label<'s>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'s str, u64)>,
    ) -> Result<(), Error> {
        let rows: Vec<_> = values.into_iter().map(|(value, count)| ([(label, value)], count)).collect();
        let rows: Vec<_> = rows.iter().map(|(labels, count)| (&labels[..], *count)).collect();
        self.counter(name, help, &rows)
    }

    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        rows: &[(&Labels<'_>, u64)],
    ) -> Result<(), Error> {
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (labels, value) in rows {
            if labels.is_empty() {
                family.encode_counter::<NoLabelSet, _, f64>(value, None)?;
            } else {
                family.encode_family(labels)?.encode_counter::<NoLabelSet, _, f64>(value, None)?;
            }
        }
        Ok(())
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, rows: &[(&Labels<'_>, u64)]) -> Result<(), Error> {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        for (labels, value) in rows {
            if labels.is_empty() {
                family.encode_gauge(value)?;
            } else {
                family.encode_family(labels)?.encode_gauge(value)?;
            }
        }
        Ok(())
    }

    /// One ratio.
    pub(super) fn ratio(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        self.family(name, help, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }
}
