//! Tests of every kind of chart: well-formed for any data, with the right elements in the right positions.

use proptest::prelude::*;

use super::super::scene::{Anchor, Element, Rect};
use super::super::{Axis, Merge, Series, Steps, png, svg};
use super::lines::thinned;
use super::*;

fn series(name: &str, values: &[f64]) -> Series {
    Series {
        name: name.to_owned(),
        values: values.to_vec(),
    }
}

fn figure(chart: Chart) -> Figure {
    Figure {
        title: "a <run> & more".to_owned(),
        note: "residual +0.0001 nats".to_owned(),
        x: Axis::steps(),
        y: Axis::new("LCA", Some("nats")),
        chart,
    }
}

fn steps(rows: usize, values: &[f64]) -> Steps {
    Steps {
        first: 3,
        every: 1,
        series: (0..rows)
            .map(|row| series(&format!("layer {row}"), values))
            .collect(),
    }
}

#[test]
fn a_heat_map_of_any_number_of_rows_is_drawn_and_says_what_it_adds_up() {
    for (rows, says) in [(1200, None), (9001, Some("sum of 8 rows"))] {
        let chart = Chart::HeatMap {
            steps: steps(rows, &[-1.0, 2.0]),
            merge: Merge::Sum,
        };
        let scene = draw(&figure(chart)).unwrap();
        let raster = |shape: &Element| match shape {
            Element::Raster(raster) if raster.columns == 2 => Some(raster.cells.len()),
            _ => None,
        };
        let cells: Vec<usize> = scene.shapes.iter().filter_map(raster).collect();
        assert_eq!(cells, [2 * rows.div_ceil(rows.div_ceil(1200))]);
        let mut text = Vec::new();
        svg::write(&scene, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            text.matches("<image ").count(),
            2,
            "the data and the bar of colours"
        );
        assert_eq!(text.contains("sum of"), says.is_some());
        assert!(says.is_none_or(|says| text.contains(says)));
        png::write(&scene, &mut Vec::new()).unwrap();
    }
}

#[test]
fn a_picture_that_cannot_be_drawn_is_an_error_not_an_empty_one() {
    let rect = Rect {
        x: 0.0,
        y: 0.0,
        width: 1.0,
        height: 1.0,
    };
    let mut scene = draw(&figure(Chart::StackedBars(steps(1, &[1.0])))).unwrap();
    scene
        .shapes
        .push(Element::Raster(crate::export::scene::Raster {
            place: rect,
            columns: 1,
            cells: vec![[0; 3]; 20_000],
        }));
    let error = svg::write(&scene, Vec::new()).unwrap_err().to_string();
    assert!(error.contains("too large"), "{error}");
}

/// One chart of each kind, made from the same values.
fn all(values: &[f64], rows: usize) -> Vec<Chart> {
    let names: Vec<String> = (0..rows).map(|row| format!("layer {row}")).collect();
    let x: Vec<f64> = (0..values.len()).map(super::span::count).collect();
    let several: Vec<Series> = names.iter().map(|name| series(name, values)).collect();
    let mut edges = vec![f64::NEG_INFINITY];
    edges.extend((0..values.len()).map(super::span::count));
    vec![
        Chart::Lines {
            x: x.clone(),
            series: several.clone(),
        },
        Chart::Bands {
            x: x.clone(),
            series: several.clone(),
            errors: vec![values.to_vec(); rows],
        },
        Chart::StackedBars(steps(rows, values)),
        Chart::HeatMap {
            steps: steps(rows, values),
            merge: Merge::Sum,
        },
        Chart::HeatMap {
            steps: steps(rows, values),
            merge: Merge::Mean,
        },
        Chart::Histogram {
            edges,
            counts: values.to_vec(),
            mark: Some((
                values.first().copied().unwrap_or(1.0),
                "observed".to_owned(),
            )),
        },
        Chart::Marks {
            rows: names.clone(),
            steps: 3..3 + values.len() as u64,
            marks: (0..values.len()).map(|i| (i % 3, i as u64)).collect(),
            shared: vec![1, 4, u64::MAX],
        },
        Chart::Bars {
            names,
            series: vec![series("train", values)],
            errors: vec![values.to_vec(); 2],
        },
        Chart::Bars {
            names: vec!["a".to_owned()],
            series: several,
            errors: Vec::new(),
        },
    ]
}

fn drawn(chart: Chart) -> Scene {
    draw(&figure(chart)).unwrap()
}

#[test]
fn on_a_phone_nothing_exceeds_the_canvas() {
    for chart in all(&[1.0, -2.0, 0.5, f64::NAN], 9) {
        let mut figure = figure(chart);
        figure.note = "a long line ".repeat(9);
        figure.x.label = "a label that is longer than the axis is wide, ".repeat(2);
        let scene = draw_narrow(&figure).unwrap();
        let font = Font::read().unwrap();
        for shape in &scene.shapes {
            let Element::Text(text) = shape else { continue };
            let width = font.width(&text.text, text.size);
            let left = match text.anchor {
                Anchor::Start => text.at.0,
                Anchor::Middle => text.at.0 - width / 2.0,
                Anchor::End => text.at.0 - width,
            };
            if !text.turned {
                let fits = left >= -1.0 && left + width <= scene.width + 1.0;
                assert!(
                    fits && text.at.1 <= scene.height,
                    "{text:?} in {:?}",
                    figure.chart
                );
            }
        }
        let shown = texts(&scene)
            .iter()
            .filter(|text| text.contains("long line"))
            .count();
        assert!(shown > 1, "the note goes over lines");
        assert!(roxmltree::Document::parse(&svg::element(&scene).unwrap()).is_ok());
    }
}

fn texts<'a>(scene: &'a Scene) -> Vec<&'a str> {
    let text = |shape: &'a Element| match shape {
        Element::Text(text) => Some(text.text.as_str()),
        _ => None,
    };
    scene.shapes.iter().filter_map(text).collect()
}

fn fills(scene: &Scene, color: [u8; 3]) -> Vec<Rect> {
    let fill = |shape: &Element| match shape {
        Element::Fill { rect, color: c } if *c == color => Some(*rect),
        _ => None,
    };
    scene.shapes.iter().filter_map(fill).collect()
}

#[test]
fn titles_axes_and_units_are_there() {
    for chart in all(&[1.0, -2.0, 0.5], 2) {
        let scene = drawn(chart.clone());
        let texts = texts(&scene);
        for text in ["a <run> & more", "residual +0.0001 nats", "step"] {
            assert!(texts.contains(&text), "{text} in {chart:?}: {texts:?}");
        }
        let names = !matches!(chart, Chart::Histogram { .. } | Chart::Bars { .. });
        assert!(!names || texts.contains(&"layer 1"), "{chart:?}: {texts:?}");
        let has_unit = !matches!(chart, Chart::Marks { .. } | Chart::Bars { .. });
        let unit = texts.iter().any(|text| text.contains("(nats"));
        assert!(!has_unit || unit, "{chart:?}: {texts:?}");
    }
}

#[test]
fn bars_are_as_long_as_their_values() {
    let chart = Chart::Bars {
        names: ["fc1", "fc2"].map(str::to_owned).to_vec(),
        series: vec![series("train", &[-2.0, 1.0])],
        errors: Vec::new(),
    };
    let scene = drawn(chart);
    let help = fills(&scene, super::super::color::HELP);
    let hurt = fills(&scene, super::super::color::HURT);
    assert_eq!((help.len(), hurt.len()), (1, 1));
    assert!((help[0].width / hurt[0].width - 2.0).abs() < 1e-9);
    assert!(
        (help[0].right() - hurt[0].x).abs() < 1e-9,
        "both begin at zero"
    );
    assert!(texts(&scene).contains(&"-2.00"));
}

#[test]
fn a_long_run_keeps_its_extremes_and_its_sum() {
    let mut values = vec![1.0; 100_000];
    values[54_321] = 1000.0;
    values[54_322] = -1000.0;
    let x: Vec<f64> = (0..values.len()).map(super::span::count).collect();
    let scene = drawn(Chart::Lines {
        x,
        series: vec![series("loss", &values)],
    });
    let line = |shape: &Element| match shape {
        Element::Line {
            parts, width: 1.3, ..
        } => Some(parts.concat()),
        _ => None,
    };
    let points = scene.shapes.iter().find_map(line).unwrap();
    assert!(points.len() < 5000, "{}", points.len());
    let (top, bottom) = points
        .iter()
        .fold((f64::MAX, f64::MIN), |(top, bottom), point| {
            (top.min(point.1), bottom.max(point.1))
        });
    let flat = points[0].1;
    assert!(
        flat - top > 190.0 && bottom - flat > 190.0,
        "{top} {flat} {bottom}"
    );

    let scene = drawn(Chart::StackedBars(steps(1, &values)));
    assert!(texts(&scene).contains(&"LCA (nats per 417 steps)"));
}

#[test]
fn a_value_between_gaps_is_a_dot_and_gaps_stay_open() {
    let values = [1.0, f64::NAN, 2.0, 3.0, f64::INFINITY, 4.0];
    let x: Vec<f64> = (0..6).map(super::span::count).collect();
    let scene = drawn(Chart::Lines {
        x,
        series: vec![series("loss", &values)],
    });
    let dots: usize = (scene.shapes.iter())
        .map(|shape| match shape {
            Element::Dots { at, .. } => at.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(dots, 2);
    let parts = |shape: &Element| match shape {
        Element::Line {
            parts, width: 1.3, ..
        } => Some(parts.len()),
        _ => None,
    };
    assert_eq!(scene.shapes.iter().find_map(parts), Some(1));
}

#[test]
fn a_heat_map_has_the_colours_of_its_values() {
    let steps = Steps {
        first: 0,
        every: 1,
        series: vec![series("fc1", &[-2.0, 0.0]), series("fc2", &[f64::NAN, 2.0])],
    };
    let scene = drawn(Chart::HeatMap {
        steps,
        merge: Merge::Sum,
    });
    let raster = |shape: &Element| match shape {
        Element::Raster(raster) if raster.columns == 2 => Some(raster.cells.clone()),
        _ => None,
    };
    let cells = scene.shapes.iter().find_map(raster).unwrap();
    let expected = [-1.0, 0.0, f64::NAN, 1.0].map(super::super::color::diverging);
    assert_eq!(cells, expected);
}

#[test]
fn pictures_can_be_read_back() {
    for chart in all(&[1.0, -2.0, f64::NAN, 0.5], 9) {
        let scene = drawn(chart);
        let mut file = Vec::new();
        png::write(&scene, &mut file).unwrap();
        let picture = tiny_skia::Pixmap::decode_png(&file).unwrap();
        assert_eq!(picture.width(), 1920);
        let inked = picture.pixels().iter().filter(|p| p.red() < 250).count();
        assert!(inked > 2000, "something is drawn: {inked}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_values_make_a_well_formed_picture(
        values in prop::collection::vec(prop::num::f64::ANY, 0..40),
        rows in 0usize..12,
    ) {
        for chart in all(&values, rows) {
            let mut file = Vec::new();
            svg::write(&drawn(chart), &mut file).unwrap();
            let text = std::str::from_utf8(&file).unwrap();
            let document = roxmltree::Document::parse(text);
            prop_assert!(document.is_ok(), "{text}");
            for attribute in document.iter().flat_map(|d| d.descendants()).flat_map(|n| n.attributes()) {
                let value = attribute.value();
                // Base64 of an image may contain any letters.
                let wrong = value.contains("NaN") || value.contains("inf");
                prop_assert!(!wrong || value.starts_with("data:"), "{text}");
            }
        }
    }

    #[test]
    fn thinning_keeps_each_column_of_pixels(
        heights in prop::collection::vec(-100i16..100, 1..300),
        columns in 1u16..40,
    ) {
        let points: Vec<(f64, f64)> = (heights.iter().enumerate())
            .map(|(i, &y)| {
                let x = super::span::count(i) * f64::from(columns) / super::span::count(heights.len());
                (x, f64::from(y))
            })
            .collect();
        let kept = thinned(&points);
        prop_assert!(kept.len() <= 4 * usize::from(columns));
        let range = |points: &[(f64, f64)], column: f64| {
            let inside = points.iter().filter(|point| point.0.floor() == column);
            inside.fold((f64::MAX, f64::MIN), |(least, most), point| {
                (least.min(point.1), most.max(point.1))
            })
        };
        for column in 0..columns {
            let column = f64::from(column);
            prop_assert_eq!(range(&points, column), range(&kept, column));
        }
    }
}
