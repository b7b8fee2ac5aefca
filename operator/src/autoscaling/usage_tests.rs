//! Upstream's table, then properties.

use proptest::prelude::*;

use super::*;

struct Case {
    /// The test's name in pkg/controller/podautoscaler/replica_calculator_test.go of Kubernetes 1.36.3, and its case.
    upstream: &'static str,
    current: u32,
    target: u64,
    pods: Vec<Sample>,
    tolerance: Tolerance,
    expected: Option<u32>,
}

fn known(levels: &[u64]) -> Vec<Sample> {
    levels.iter().copied().map(Sample::Sessions).collect()
}

fn and(mut pods: Vec<Sample>, others: &[Sample]) -> Vec<Sample> {
    pods.extend_from_slice(others);
    pods
}

fn case(
    upstream: &'static str,
    current: u32,
    target: u64,
    pods: Vec<Sample>,
    expected: u32,
) -> Case {
    Case {
        upstream,
        current,
        target,
        pods,
        tolerance: Tolerance::default(),
        expected: Some(expected),
    }
}

/// The cases of pods metrics as they stand upstream, and those of a resource as far as they mean the same for a plain
/// value: with a request of 1.0 a pod its utilisation is one, and a pod that is not ready during its start is `Pending`.
/// Left out are those of other metrics (of objects, external, of containers) and of what is particular to requests.
fn upstream() -> Vec<Case> {
    use Sample::{Ignored, Missing, Pending};
    vec![
        case("ScaleUpCM", 3, 15_000, known(&[20_000, 10_000, 30_000]), 4),
        case(
            "ScaleUpCMUnreadyHotCpuNoLessScale",
            3,
            15_000,
            known(&[50_000, 10_000, 30_000]),
            6,
        ),
        case(
            "ScaleUpCMUnreadyHotCpuScaleWouldScaleDown",
            3,
            15_000,
            known(&[50_000, 15_000, 30_000]),
            7,
        ),
        case("ScaleDownCM", 5, 20_000, known(&[12_000; 5]), 3),
        case(
            "ToleranceCM",
            3,
            20_000,
            known(&[20_000, 21_000, 21_000]),
            3,
        ),
        Case {
            tolerance: Tolerance { down: 100, up: 10 },
            ..case(
                "ConfigurableToleranceCM",
                3,
                20_000,
                known(&[20_000, 21_000, 21_000]),
                4,
            )
        },
        case(
            "PlainMetricReplicaCalcMissingMetricsNoChangeEq",
            5,
            20_000,
            and(known(&[20_000, 19_000, 21_000]), &[Missing, Missing]),
            5,
        ),
        case(
            "DuringRollingUpdateWithMaxSurgeCM",
            2,
            17_000,
            and(known(&[10_000; 2]), &[Missing]),
            2,
        ),
        case(
            "DuringRollingUpdateWithMaxSurge",
            2,
            500,
            and(known(&[100; 2]), &[Missing]),
            2,
        ),
        case("ScaleUp", 3, 300, known(&[300, 500, 700]), 5),
        case(
            "ScaleUpUnreadyLessScale",
            3,
            300,
            and(known(&[500, 700]), &[Pending]),
            4,
        ),
        case(
            "ScaleUpHotCpuLessScale",
            3,
            300,
            and(known(&[500, 700]), &[Pending]),
            4,
        ),
        case(
            "ScaleUpUnreadyNoScale",
            3,
            300,
            and(known(&[400]), &[Pending, Pending]),
            3,
        ),
        case(
            "ScaleHotCpuNoScale",
            3,
            300,
            and(known(&[400]), &[Pending, Pending]),
            3,
        ),
        case(
            "ScaleUpIgnoresFailedPods",
            2,
            300,
            and(known(&[500, 700]), &[Ignored, Ignored]),
            4,
        ),
        case(
            "ScaleUpIgnoresDeletionPods",
            2,
            300,
            and(known(&[500, 700]), &[Ignored, Ignored]),
            4,
        ),
        case("ScaleDown", 5, 500, known(&[100, 300, 500, 250, 250]), 3),
        case(
            "ScaleDownExcludeUnreadyPods",
            5,
            500,
            and(known(&[100, 300, 500]), &[Pending, Pending]),
            2,
        ),
        case(
            "ScaleDownExcludeUnscheduledPods",
            5,
            500,
            and(known(&[100]), &[Pending; 4]),
            1,
        ),
        case(
            "ScaleDownIgnoreHotCpuPods",
            5,
            500,
            and(known(&[100, 300, 500]), &[Pending, Pending]),
            2,
        ),
        case(
            "ScaleDownIgnoresFailedPods",
            5,
            500,
            and(known(&[100, 300, 500, 250, 250]), &[Ignored; 2]),
            3,
        ),
        case(
            "ScaleDownIgnoresDeletionPods",
            5,
            500,
            and(known(&[100, 300, 500, 250, 250]), &[Ignored; 2]),
            3,
        ),
        case("Tolerance", 3, 1000, known(&[1010, 1030, 1020]), 3),
        case(
            "MissingMetrics",
            4,
            1000,
            and(known(&[400, 95]), &[Missing, Missing]),
            3,
        ),
        Case {
            expected: None,
            ..case("EmptyMetrics", 4, 1000, vec![Missing; 4], 0)
        },
        case(
            "MissingMetricsNoChangeEq",
            2,
            1000,
            and(known(&[1000]), &[Missing]),
            2,
        ),
        case(
            "MissingMetricsNoChangeGt",
            2,
            1000,
            and(known(&[1900]), &[Missing]),
            2,
        ),
        case(
            "MissingMetricsNoChangeLt",
            2,
            1000,
            and(known(&[600]), &[Missing]),
            2,
        ),
        case(
            "MissingMetricsUnreadyChange",
            3,
            500,
            and(known(&[450]), &[Pending, Missing]),
            3,
        ),
        case(
            "MissingMetricsHotCpuNoChange",
            3,
            500,
            and(known(&[450]), &[Pending, Missing]),
            3,
        ),
        case(
            "MissingMetricsUnreadyScaleUp",
            3,
            500,
            and(known(&[2000]), &[Pending, Missing]),
            4,
        ),
        case(
            "MissingMetricsHotCpuScaleUp",
            3,
            500,
            and(known(&[2000]), &[Pending, Missing]),
            4,
        ),
        case(
            "ComputedToleranceAlgImplementation, beyond",
            10,
            168,
            known(&[150; 10]),
            9,
        ),
        case(
            "ComputedToleranceAlgImplementation, within",
            10,
            165,
            known(&[150; 10]),
            10,
        ),
        Case {
            tolerance: Tolerance { down: 0, up: 0 },
            ..case(
                "ConfigurableTolerance, Outside of a 0% tolerance",
                3,
                1000,
                known(&[909, 1010, 1111]),
                4,
            )
        },
        Case {
            tolerance: Tolerance {
                down: 100,
                up: 2000,
            },
            ..case(
                "ConfigurableTolerance, Within a 200% scale-up tolerance",
                3,
                1000,
                known(&[1890, 1910, 1900]),
                3,
            )
        },
        Case {
            tolerance: Tolerance { down: 2000, up: 80 },
            ..case(
                "ConfigurableTolerance, Outside 8% scale-up tolerance",
                3,
                1000,
                known(&[1100, 1080, 1090]),
                4,
            )
        },
        Case {
            tolerance: Tolerance { down: 360, up: 100 },
            ..case(
                "ConfigurableTolerance, Within a 36% scale-down tolerance",
                3,
                1000,
                known(&[660, 640, 650]),
                3,
            )
        },
        Case {
            tolerance: Tolerance { down: 340, up: 100 },
            ..case(
                "ConfigurableTolerance, Outside a 34% scale-down tolerance",
                3,
                1000,
                known(&[660, 640, 650]),
                2,
            )
        },
    ]
}

#[test]
fn every_case_of_upstream_is_answered_as_upstream_answers_it() {
    for case in upstream() {
        let answer = replicas_by_usage(case.current, case.target, case.tolerance, &case.pods, 0);
        let replicas = answer.map(|(replicas, _)| replicas);
        assert_eq!(replicas, case.expected, "TestReplicaCalc{}", case.upstream);
    }
}

#[test]
fn sessions_of_a_pod_that_is_being_emptied_are_those_of_the_others_soon() {
    let pods = known(&[900, 900, 900, 900]);
    let wanted = |adrift| replicas_by_usage(4, 1000, Tolerance::default(), &pods, adrift);
    assert_eq!(wanted(800).unwrap().0, 4, "within the tolerance of four");
    assert_eq!(wanted(801).unwrap().0, 5, "the load has come back");
}

fn pods() -> impl Strategy<Value = Vec<Sample>> {
    let sample = prop_oneof![
        6 => (0_u64..40_000).prop_map(Sample::Sessions),
        1 => Just(Sample::Missing),
        1 => Just(Sample::Pending),
        1 => Just(Sample::Ignored),
    ];
    prop::collection::vec(sample, 1..30)
}

fn size(pods: &[Sample]) -> u32 {
    let lives = pods.iter().filter(|pod| **pod != Sample::Ignored);
    u32::try_from(lives.count()).unwrap()
}

proptest! {
    #[test]
    fn more_sessions_never_want_fewer_pods(pods in pods(), which in 0_usize..30, more in 1_u64..50_000, target in 1_u64..20_000) {
        let current = size(&pods);
        let wanted = |pods: &[Sample]| replicas_by_usage(current, target, Tolerance::default(), pods, 0).map(|it| it.0);
        let mut fuller = pods.clone();
        let count = pods.len();
        if let Sample::Sessions(sessions) = &mut fuller[which % count] {
            *sessions += more;
        }
        prop_assert!(wanted(&fuller) >= wanted(&pods));
    }

    #[test]
    fn within_the_tolerance_nothing_changes(levels in prop::collection::vec(900_u64..=1100, 1..50), spread in 1_u64..20) {
        let pods: Vec<_> = levels.iter().map(|level| Sample::Sessions(level * spread)).collect();
        let current = size(&pods);
        let wanted = replicas_by_usage(current, 1000 * spread, Tolerance::default(), &pods, 0);
        prop_assert_eq!(wanted.unwrap().0, current);
    }

    #[test]
    fn what_is_not_known_makes_no_change_larger(levels in prop::collection::vec(0_u64..40_000, 1..20), missing in 0_usize..5, target in 1_u64..20_000) {
        let all = known(&levels);
        let current = size(&all) + u32::try_from(missing).unwrap();
        let mut part = all.clone();
        part.extend(vec![Sample::Missing; missing]);
        let (wanted, usage) = replicas_by_usage(current, target, Tolerance::default(), &part, 0).unwrap();
        // What would be wanted if the unknown were as the known are.
        let alike = u64::from(current) * usage.total / usage.pods;
        if usage.is_over() {
            prop_assert!(wanted >= current && u64::from(wanted) <= alike.div_ceil(target) + 1);
        } else {
            prop_assert!(wanted <= current && u64::from(wanted) + 1 >= alike / target);
        }
    }

    #[test]
    fn beyond_the_tolerance_the_mean_comes_to_the_target(levels in prop::collection::vec(0_u64..40_000, 1..20), target in 1_u64..20_000) {
        let pods = known(&levels);
        let current = size(&pods);
        let (wanted, usage) = replicas_by_usage(current, target, Tolerance::default(), &pods, 0).unwrap();
        if wanted != current {
            prop_assert!(usage.total <= u64::from(wanted) * target);
            prop_assert!(wanted == 0 || usage.total > u64::from(wanted - 1) * target);
        }
    }
}
