// A block from functions of every kind of name, each of a size of its own; for tests/e2e/names.sh.
mod shop {
    use super::take;
    pub struct Sessions;
    impl Sessions {
        #[inline(never)]
        pub fn login(&self, name: &str) -> usize {
            take(400001) + name.len()
        }
    }
    pub trait Count {
        fn count(&self) -> usize;
    }
    impl Count for Sessions {
        #[inline(never)]
        fn count(&self) -> usize {
            take(400002)
        }
    }
    pub struct Holder<T>(pub T);
    impl<T> Holder<T> {
        #[inline(never)]
        pub fn get(&self) -> usize {
            take(400003)
        }
    }
    impl<T> Count for Holder<T> {
        #[inline(never)]
        fn count(&self) -> usize {
            take(400004)
        }
    }
    #[inline(never)]
    pub fn generic<T>(_: T) -> usize {
        take(400005)
    }
}

#[inline(always)]
fn take(bytes: usize) -> usize {
    let mut block: Vec<u8> = Vec::with_capacity(bytes);
    unsafe { std::ptr::write_volatile(block.as_mut_ptr(), 1) };
    let room = block.capacity();
    std::mem::forget(block);
    room
}

fn main() {
    use shop::Count;
    let sessions = shop::Sessions;
    let mut sum = sessions.login("x") + sessions.count();
    sum += shop::Holder(1u8).get() + shop::Holder("x").count();
    sum += shop::generic(1i64);
    let calls: [&dyn Fn(usize) -> usize; 2] = [&|n| take(400006) + n, &|n| n];
    sum += calls[std::env::args().count() - 1](1); // which of them, no compiler knows
    println!("{}", sum > 0);
}
