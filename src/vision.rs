//! Simulation of colour vision, for the tests of the palettes.

/// The rows of a matrix from linear red, green and blue to those perceived.
pub type Vision = [[f64; 3]; 3];

/// The kinds of colour vision (Machado et al. 2009, severity 1).
#[rustfmt::skip]
pub const VISIONS: [(&str, Vision); 4] = [
    ("normal", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    ("protanopia", [[0.152_286, 1.052_583, -0.204_868], [0.114_503, 0.786_281, 0.099_216], [-0.003_882, -0.048_116, 1.051_998]]),
    ("deuteranopia", [[0.367_322, 0.860_646, -0.227_968], [0.280_085, 0.672_501, 0.047_413], [-0.011_820, 0.042_940, 0.968_881]]),
    ("tritanopia", [[1.255_528, -0.076_749, -0.178_779], [-0.078_411, 0.930_809, 0.147_602], [0.004_733, 0.691_367, 0.303_900]]),
];

/// The RGB value of one of the 256 colours, in the cube or the grey ramp.
pub fn rgb_of(index: u8) -> [u8; 3] {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    if index >= 232 {
        return [8 + 10 * (index - 232); 3];
    }
    let place = usize::from(index - 16);
    [place / 36, place / 6 % 6, place % 6].map(|level| LEVELS[level])
}

fn linear(rgb: [u8; 3]) -> [f64; 3] {
    rgb.map(|byte| {
        let c = f64::from(byte) / 255.0;
        if c <= 0.04045 {
            c / 12.92
        } else {
            ((c + 0.055) / 1.055).powf(2.4)
        }
    })
}

/// WCAG 2 contrast ratios against black and white.
pub fn contrasts(rgb: [u8; 3]) -> [f64; 2] {
    let [r, g, b] = linear(rgb);
    let luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    [(luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05)]
}

/// CIE Lab coordinates as perceived with a kind of colour vision; L* is 16 too large.
pub fn lab(vision: &Vision, rgb: [u8; 3]) -> [f64; 3] {
    let light = linear(rgb);
    let dot = |row: [f64; 3]| row.iter().zip(light).map(|(m, c)| m * c).sum::<f64>();
    let seen = vision.map(|row| dot(row).clamp(0.0, 1.0));
    let cone = |weights: [f64; 3], white: f64| {
        let sum: f64 = weights.iter().zip(seen).map(|(w, c)| w * c).sum();
        (sum / white).cbrt()
    };
    let (x, y, z) = (
        cone([0.4124, 0.3576, 0.1805], 0.9505),
        cone([0.2126, 0.7152, 0.0722], 1.0),
        cone([0.0193, 0.1192, 0.9505], 1.0888),
    );
    [116.0 * y, 500.0 * (x - y), 200.0 * (y - z)]
}

/// The perceived distance of two colours (CIE 1976).
pub fn distance(vision: &Vision, one: [u8; 3], other: [u8; 3]) -> f64 {
    let pairs = lab(vision, one).into_iter().zip(lab(vision, other));
    pairs.map(|(p, q)| (p - q).powi(2)).sum::<f64>().sqrt()
}
