//! Prometheus' text format 0.0.4, out of the OpenMetrics text that the library writes.
//!
//! The samples of both are the same, as long as there are no exemplars and no times, of which there are none here. What differs
//! are the lines between them: the older format names a metric as its samples are named, has fewer types, no units and no end.

use std::fmt::Write as _;

/// The same metrics in the older format.
pub(super) fn plain(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + open_metrics.len() / 8);
    let mut help = "";
    for line in open_metrics.lines() {
        // Writing into a String does not fail.
        let _ = if let Some(of_next) = line.strip_prefix("# HELP ") {
            help = of_next;
            Ok(())
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let (ending, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            let meaning = help
                .strip_prefix(name)
                .map(str::trim_start)
                .unwrap_or_default();
            writeln!(
                text,
                "# HELP {name}{ending} {meaning}\n# TYPE {name}{ending} {kind}"
            )
        } else if line.starts_with('#') {
            Ok(())
        } else {
            writeln!(text, "{line}")
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn only_the_lines_between_the_samples_differ() {
        let open_metrics = "\
# HELP a_answers Answers by status.
# TYPE a_answers counter
a_answers_total{status=\"200\"} 3
# HELP a_ready Whether it is.
# TYPE a_ready gauge
a_ready 1
# HELP a_wait_seconds Times.
# TYPE a_wait_seconds histogram
# UNIT a_wait_seconds seconds
a_wait_seconds_sum 0.5
a_wait_seconds_count 1
a_wait_seconds_bucket{le=\"+Inf\"} 1
# HELP a_build Version.
# TYPE a_build info
a_build_info{version=\"1\"} 1
# EOF
";
        let expected = "\
# HELP a_answers_total Answers by status.
# TYPE a_answers_total counter
a_answers_total{status=\"200\"} 3
# HELP a_ready Whether it is.
# TYPE a_ready gauge
a_ready 1
# HELP a_wait_seconds Times.
# TYPE a_wait_seconds histogram
a_wait_seconds_sum 0.5
a_wait_seconds_count 1
a_wait_seconds_bucket{le=\"+Inf\"} 1
# HELP a_build_info Version.
# TYPE a_build_info gauge
a_build_info{version=\"1\"} 1
";
        assert_eq!(plain(open_metrics), expected);
    }
}
