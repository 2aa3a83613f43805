//! Deadlines, retries, hedges, the limit and admission, each against an origin that follows a script. Time is
//! virtual: an hour of it takes no time, and every number here is exact.

use std::sync::Arc;
use std::time::Duration;

use frazil_cache::conformance::Sample;
use frazil_cache::resilience::{Priority, Refusal, Refused, Urgency};
use frazil_cache::stack::{self, OriginOptions};
use frazil_cache::{ErrorClass, Memory, Tier};
use futures::future::join_all;
use tokio::time::Instant;

use crate::outage_script::{Scene, Scripted};
use crate::stages::chunks;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn options() -> OriginOptions {
    OriginOptions { seed: Some(7), ..OriginOptions::default() }
}

fn one() -> Vec<Sample> {
    chunks(0..1, 1000)
}

#[tokio::test(start_paused = true)]
async fn a_silent_origin_is_given_up_at_the_deadline_and_not_before() {
    let (samples, started) = (one(), Instant::now());
    let origin = Scripted::new(&samples, |_, _| Scene::Silence);
    let stack = stack::over(origin.clone(), &options());
    let error = stack.get(&samples[0].wanted).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    assert_eq!(Refusal::of(&error), Some(Refusal::DeadlineMissed { deadline: ms(30_000) }));
    assert_eq!(started.elapsed(), ms(30_000));
    let counts = stack.counts();
    assert_eq!(counts.deadline_misses, 1);
    assert!(counts.attempt_deadline_misses >= 4, "{counts:?}");
    assert_eq!((counts.slots.held, counts.slots.waiting), (0, 0), "nothing is left behind");
}

#[tokio::test(start_paused = true)]
async fn what_fails_twice_is_had_the_third_time() {
    let samples = one();
    let origin = Scripted::new(
        &samples,
        |number, _| if number < 2 { Scene::Fail(ms(1)) } else { Scene::Answer(ms(1)) },
    );
    let stack = stack::over(origin.clone(), &options());
    assert!(stack.get(&samples[0].wanted).await.unwrap() == samples[0].chunk);
    assert_eq!((origin.requests(), stack.counts().retry.retries), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_ten_seconds_is_a_wait_and_no_error() {
    let samples = chunks(0..40, 1000);
    let origin = Scripted::new(&samples, |_, _| Scene::Fail(ms(1)));
    let stack = stack::over(origin.clone(), &options());
    let ends = async {
        tokio::time::sleep(ms(10_000)).await;
        origin.then(|_, _| Scene::Answer(ms(1)));
    };
    let readers = join_all(samples.iter().map(|sample| stack.get(&sample.wanted)));
    let (answers, ()) = futures::join!(readers, ends);
    for (answer, sample) in answers.into_iter().zip(&samples) {
        assert!(answer.unwrap() == sample.chunk);
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_and_what_is_wrong_twice_is_not_asked_for_again() {
    let samples = one();
    let nothing = Scripted::new(&[], |_, _| Scene::Answer(ms(1)));
    let stack = stack::over(nothing.clone(), &options());
    assert_eq!(stack.get(&samples[0].wanted).await.unwrap_err().class(), ErrorClass::NotFound);
    assert_eq!(nothing.requests(), 1);
    let wrong = Scripted::new(&samples, |_, _| Scene::Corrupt);
    let stack = stack::over(wrong.clone(), &options());
    assert_eq!(stack.get(&samples[0].wanted).await.unwrap_err().class(), ErrorClass::Corrupt);
    assert_eq!((wrong.requests(), stack.counts().retry.corrupt), (2, 2));
    let once =
        Scripted::new(&samples, |number, _| if number == 0 { Scene::Corrupt } else { Scene::Answer(ms(1)) });
    let stack = stack::over(once, &options());
    assert!(stack.get(&samples[0].wanted).await.unwrap() == samples[0].chunk);
    assert_eq!(stack.counts().retry.corrupt, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_asks_to_be_left_alone_is_left_alone() {
    let (samples, started) = (one(), Instant::now());
    let origin = Scripted::new(&samples, |number, _| match number {
        0 => Scene::Throttle(ms(7000)),
        _ => Scene::Answer(Duration::ZERO),
    });
    let stack = stack::over(origin.clone(), &options());
    assert!(stack.get(&samples[0].wanted).await.is_ok());
    assert!(started.elapsed() >= ms(7000), "{:?}", started.elapsed());
    origin.then(|_, _| Scene::Throttle(Duration::from_secs(3600)));
    let (asked, started) = (origin.requests(), Instant::now());
    assert!(stack.get(&samples[0].wanted).await.is_err());
    assert_eq!(
        (origin.requests() - asked, started.elapsed()),
        (1, Duration::ZERO),
        "an hour is not waited for"
    );
}

#[tokio::test(start_paused = true)]
async fn retries_add_a_tenth_and_a_trickle_to_the_load_of_an_origin_that_fails() {
    let samples = chunks(0..1000, 100);
    let origin = Scripted::new(&samples, |_, _| Scene::Fail(ms(10)));
    let stack = stack::over(origin.clone(), &options());
    let started = Instant::now();
    let answers = join_all(samples.iter().map(|sample| stack.get(&sample.wanted))).await;
    assert!(answers.iter().all(Result::is_err));
    let trickle = 16.0 * (started.elapsed().as_secs_f64() + 1.0);
    let bound = 1000.0 * 1.1 + trickle;
    assert!((origin.requests() as f64) <= bound, "{} requests, {bound} allowed", origin.requests());
    assert!(started.elapsed() <= ms(30_000));
}

#[tokio::test(start_paused = true)]
async fn hedges_cut_the_tail_and_stay_within_their_share() {
    const REQUESTS: u64 = 2000;
    let samples = one();
    let slow_each =
        |n: u64| move |number: u64, _| Scene::Answer(ms(if number.is_multiple_of(n) { 3000 } else { 20 }));
    let origin = Scripted::new(&samples, slow_each(33));
    let stack = stack::over(origin.clone(), &options());
    let mut slow = 0;
    for _ in 0..REQUESTS {
        let started = Instant::now();
        stack.get(&samples[0].wanted).await.unwrap();
        slow += u64::from(started.elapsed() > ms(100));
    }
    let counts = stack.counts().hedge;
    assert!(counts.wins > 50 && slow <= 3, "{slow} of {REQUESTS} were slow: {counts:?}");
    assert!(origin.requests() <= REQUESTS + REQUESTS / 20, "{} requests", origin.requests());

    // An origin all of whose answers became slow gets 5 % more, not twice as many.
    origin.then(|_, _| Scene::Answer(ms(3000)));
    let before = origin.requests();
    for _ in 0..REQUESTS {
        stack.get(&samples[0].wanted).await.unwrap();
    }
    assert!(origin.requests() - before <= REQUESTS + REQUESTS / 20 + 10, "{}", origin.requests() - before);
}

#[tokio::test(start_paused = true)]
async fn an_empty_cache_cannot_melt_the_origin_or_itself() {
    const READERS: usize = 200;
    const CHUNKS: u64 = 400;
    const CAPACITY: usize = 8;
    let samples = chunks(0..CHUNKS, 1000);
    // Above its capacity it slows down by more than the square, as what thrashes does.
    let melting = |_: u64, with: usize| {
        let over = with.saturating_sub(CAPACITY) as u64;
        Scene::Answer(ms(50 + 20 * over * over))
    };
    let read_all = |tier: Arc<dyn Tier>, reader: usize, samples: Vec<Sample>| async move {
        let len = samples.len();
        let in_order = samples.iter().cycle().skip(reader * 37 % len).take(len);
        let mut wrong = 0;
        for sample in in_order {
            wrong +=
                usize::from(tier.get(&sample.wanted).await.ok().is_none_or(|served| served != sample.chunk));
        }
        wrong
    };
    let run = |options: OriginOptions| {
        let (origin, samples) = (Scripted::new(&samples, melting), samples.clone());
        async move {
            let stack = stack::over(origin.clone(), &options);
            let tier: Arc<dyn Tier> = Arc::new(Memory::new(stack.clone(), 1 << 30));
            let readers = (0..READERS).map(|reader| read_all(tier.clone(), reader, samples.clone()));
            let wrong: usize = join_all(readers).await.into_iter().sum();
            (origin, stack, wrong)
        }
    };

    let limited = OriginOptions { seed: Some(7), ..OriginOptions::with_concurrency(CAPACITY) };
    let started = Instant::now();
    let (origin, stack, wrong) = run(limited.clone()).await;
    assert_eq!(wrong, 0, "every reader got every byte: {:?}", stack.counts());
    assert!(origin.most_under_way() <= CAPACITY, "{} at once", origin.most_under_way());
    assert!(origin.requests() as f64 <= CHUNKS as f64 * 1.05, "{} requests", origin.requests());
    // 400 chunks, 8 at a time, 50 ms each, are 2.5 s. Readers who go through one image run into each other and then
    // wait for the same chunk, so not all slots are used all the time.
    assert!(started.elapsed() <= ms(7500), "{:?}", started.elapsed());
    let counts = stack.counts().slots;
    assert!(counts.most_waiting <= limited.queue, "{counts:?}");

    // The same without the limit does melt: the scenario is a test of something.
    let unlimited = OriginOptions { seed: Some(7), ..OriginOptions::with_concurrency(1000) };
    let (origin, stack, _) = run(unlimited).await;
    assert!(origin.most_under_way() > 10 * CAPACITY);
    assert!(stack.counts().attempt_deadline_misses > 0, "{:?}", stack.counts());
}

#[tokio::test(start_paused = true)]
async fn past_the_queue_readers_hear_that_it_is_busy_and_come_back_by_themselves() {
    let samples = chunks(0..100, 1000);
    let origin = Scripted::new(&samples, |_, _| Scene::Answer(ms(50)));
    let mut options = OriginOptions { queue: 4, ..OriginOptions::with_concurrency(2) };
    options.seed = Some(7);
    let stack = stack::over(origin.clone(), &options);
    let answers = join_all(samples.iter().map(|sample| stack.get(&sample.wanted))).await;
    assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|answer| answer.is_err()));
    let counts = stack.counts();
    assert!(counts.slots.refused > 0 && counts.slots.most_waiting == 4, "{counts:?}");
    assert_eq!((origin.most_under_way(), origin.requests()), (2, 100));
}

#[tokio::test(start_paused = true)]
async fn readers_go_before_prefetches() {
    let samples = chunks(0..12, 1000);
    let origin = Scripted::new(&samples, |_, _| Scene::Answer(ms(50)));
    let stack = stack::over(origin.clone(), &OriginOptions::with_concurrency(1));
    let (ahead, now) = samples.split_at(8);
    let prefetch = join_all(
        ahead.iter().map(|sample| Urgency::new(Priority::Prefetch).scope(stack.get(&sample.wanted))),
    );
    let read = async {
        tokio::time::sleep(ms(1)).await;
        join_all(now.iter().map(|sample| stack.get(&sample.wanted))).await
    };
    let (prefetched, read) = futures::join!(prefetch, read);
    assert!(prefetched.into_iter().chain(read).all(|answer| answer.is_ok()));
    let order = origin.order();
    assert!(
        now.iter().all(|sample| order[1..=4].contains(&sample.wanted)),
        "after the one that was under way"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_joins_a_prefetch_takes_it_along() {
    let samples = chunks(0..8, 1000);
    let origin = Scripted::new(&samples, |_, _| Scene::Answer(ms(50)));
    let stack = stack::over(origin.clone(), &OriginOptions::with_concurrency(1));
    let memory = Memory::new(stack, 1 << 20);
    let prefetch = join_all(
        samples.iter().map(|sample| Urgency::new(Priority::Prefetch).scope(memory.get(&sample.wanted))),
    );
    let read = async {
        tokio::time::sleep(ms(1)).await;
        memory.get(&samples[7].wanted).await
    };
    let (_, read) = futures::join!(prefetch, read);
    assert!(read.unwrap() == samples[7].chunk);
    assert_eq!((origin.order()[1], origin.requests()), (samples[7].wanted, 8));
}

#[tokio::test(start_paused = true)]
async fn a_prefetch_that_fails_is_not_tried_again_and_takes_no_reader_s_retries() {
    let samples = chunks(0..30, 1000);
    let origin = Scripted::new(&samples, |_, _| Scene::Fail(ms(1)));
    let stack = stack::over(origin.clone(), &options());
    for sample in &samples {
        Urgency::new(Priority::Prefetch).scope(stack.get(&sample.wanted)).await.unwrap_err();
    }
    assert_eq!((origin.requests(), stack.counts().retry.retries), (30, 0));
}

#[tokio::test(start_paused = true)]
async fn while_the_origin_fails_new_mounts_are_refused_and_readers_go_on() {
    let samples = chunks(0..40, 1000);
    let origin = Scripted::new(&samples, |_, _| Scene::Answer(ms(1)));
    let stack = stack::over(origin.clone(), &options());
    let admission = stack.admission();
    admission.try_admit().expect("nothing is wrong");
    origin.then(|_, _| Scene::Fail(ms(1)));
    let readers: Vec<_> = samples
        .iter()
        .map(|sample| {
            let (stack, wanted) = (stack.clone(), sample.wanted);
            tokio::spawn(async move { stack.get(&wanted).await })
        })
        .collect();
    tokio::time::sleep(ms(2000)).await;
    let refused = admission.try_admit().unwrap_err();
    assert!(matches!(refused, Refused::Failing { .. }), "{refused}");
    assert!(refused.to_string().contains("try again in 5 s"), "{refused}");
    origin.then(|_, _| Scene::Answer(ms(1)));
    for (reader, sample) in readers.into_iter().zip(&samples) {
        assert!(reader.await.unwrap().unwrap() == sample.chunk, "it ran already");
    }
    tokio::time::sleep(ms(11_000)).await;
    admission.try_admit().expect("it forgets what is over");
    assert_eq!(stack.counts().refused_mounts, 1);
}

#[tokio::test(start_paused = true)]
async fn while_too_many_requests_wait_new_mounts_are_refused() {
    let samples = chunks(0..16, 1000);
    let origin = Scripted::new(&samples, |_, _| Scene::Answer(ms(50)));
    let stack = stack::over(origin, &OriginOptions::with_concurrency(1));
    let readers = join_all(samples.iter().map(|sample| stack.get(&sample.wanted)));
    let mount = async {
        tokio::time::sleep(ms(1)).await;
        let refused = stack.admission().try_admit().unwrap_err();
        assert!(matches!(refused, Refused::Overloaded { waiting: 15, .. }), "{refused}");
    };
    let (answers, ()) = futures::join!(readers, mount);
    assert!(answers.iter().all(Result::is_ok));
    stack.admission().try_admit().expect("nobody waits");
}
