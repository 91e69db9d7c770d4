// Allocations whose stacks the source says; see symbols_c.c for the marks.
//
// stack 100301: fill main
// stack 100302: draw show main
// stack 100303: closure apply main
// stack 100304: inlined around main
// stack 100305: boxed main
// stack 100306: closure

// std::hint::black_box is younger than Debian 12's compiler. The read of a byte keeps the call where
// there is no value to read.
#[inline(never)]
fn black_box<T>(value: T) -> T {
    let copy = unsafe {
        std::ptr::read_volatile(&0u8);
        std::ptr::read_volatile(&value)
    };
    std::mem::forget(value);
    copy
}

trait Shape {
    fn draw(&self);
    #[inline(never)]
    fn show(&self) {
        self.draw(); // 100302.1
        black_box(());
    }
}

struct Grid<T, const N: usize> {
    cell: T,
}

impl<T: Copy, const N: usize> Grid<T, N> {
    #[inline(never)]
    fn fill(&self) {
        black_box(self.cell);
        black_box(Vec::<u8>::with_capacity(N)); // 100301.0
    }
}

struct Circle(usize);

impl Shape for Circle {
    #[inline(never)]
    fn draw(&self) {
        black_box(Vec::<u8>::with_capacity(self.0)); // 100302.0
    }
}

#[inline(never)]
fn apply<F: Fn(usize)>(f: F) {
    f(100303); // 100303.1
    black_box(());
}

#[inline(always)]
fn inlined(bytes: usize) {
    black_box(String::with_capacity(bytes)); // 100304.0
}

#[inline(never)]
fn around(bytes: usize) {
    inlined(bytes); // 100304.1
    black_box(());
}

mod inner {
    #[inline(never)]
    pub fn boxed() {
        super::black_box(vec![1u8; 100305].into_boxed_slice()); // 100305.0
    }
}

fn main() {
    Grid::<u64, 100301> { cell: 1 }.fill(); // 100301.1
    let circle: Box<dyn Shape> = Box::new(Circle(100302));
    circle.show(); // 100302.2
    apply(|bytes| { // 100303.2
        black_box(Vec::<u8>::with_capacity(bytes)); // 100303.0
    });
    around(100304); // 100304.2
    inner::boxed(); // 100305.1
    std::thread::spawn(|| {
        black_box(Vec::<u8>::with_capacity(100306)); // 100306.0
    })
    .join()
    .unwrap();
}
