//! Times of all rows at all sizes. `cargo bench -p costs -- ROW` takes those of one.

use std::hint::black_box;
use std::time::{Duration, Instant};

use costs::row::{ROWS, Row};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

/// Each size has this long. Its preparation takes longer where a table is large.
const MEASURED: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_millis(300);
const SAMPLES: usize = 10;

fn main() {
    // Without this word from cargo everything runs once, to see that it does: small sizes are enough.
    let is_measuring = std::env::args().any(|argument| argument == "--bench");
    let mut criterion = Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(WARM_UP)
        .measurement_time(MEASURED)
        .configure_from_args();
    for row in &ROWS {
        let sizes = match is_measuring {
            true => row.sizes,
            false => &row.sizes[..2],
        };
        measure(&mut criterion, row, sizes);
    }
    criterion.final_summary();
}

fn measure(criterion: &mut Criterion, row: &Row, sizes: &[usize]) {
    let mut group = criterion.benchmark_group(row.name);
    group.sampling_mode(SamplingMode::Flat);
    for size in sizes {
        // Made only when the benchmark is asked for, and once for all of its samples.
        let mut scene = None;
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let scene = scene.get_or_insert_with(|| (row.scene)(*size));
            bencher.iter_custom(|rounds| {
                let began = Instant::now();
                let units: u64 = (0..rounds).map(|_| black_box(scene.once())).sum();
                // The time of one unit, for as many rounds: so that sizes can be compared whatever a round makes.
                began.elapsed().mul_f64(rounds as f64 / units as f64)
            });
        });
    }
    group.finish();
}
