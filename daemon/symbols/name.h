/*
 * Names of functions, for people and for comparing builds. A symbol is what linkers use; its full name
 * what a demangler makes of it, or what debug information says. From the full name come two texts:
 *
 * The display name is what its programmer would call it:
 *   std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >   std::string
 *   std::vector<int, std::allocator<int> >                                            std::vector<int>
 *   std::map<int, int, std::less<int>, std::allocator<std::pair<int const, int> > >   std::map<int, int>
 *   std::unique_ptr<T, std::default_delete<T> >                                       std::unique_ptr<T>
 *   main::{lambda(int)#1}::operator()(int) const, main::$_0::operator()(int) const    main::{lambda(int)}
 *   shop::tagged[abi:v2]()                                                            shop::tagged()
 *   int& std::vector<int>::emplace_back<int>(int&&)                 std::vector<int>::emplace_back<int>(int&&)
 *
 * The key is the same for one function of the source however it was built: besides the above
 *   C::size() const                                                                   C::size()
 *   <a::B<T> as a::C>::d, <a::B<i32> as a::C>::d::<u8> (Rust, legacy and v0)          <a::B as a::C>::d
 *   a::f::{{closure}}, a::f::{closure#0}                                              a::f::{closure}
 *
 * and a symbol counts without its version and without what compilers add for parts and clones:
 *   parse.isra.0, parse.part.1.cold, parse@@LIB_1.2                                   parse
 *   parse._entry                                                                      is another symbol
 */
#ifndef HEAPTAPE_DAEMON_NAME_H
#define HEAPTAPE_DAEMON_NAME_H

/* Cuts version and suffixes off, in place; never all of it. */
void name_bare(char *symbol);

struct name {
	char *display, *key; /* malloced; NULL without memory */
};

/* From any bytes: what is not understood stays as it is. symbol: where `full` comes from, which says the
 * language; NULL: debug information says it in the way of the C++ demangler. */
void name_make(const char *full, const char *symbol, struct name *ret);
void name_release(struct name *name);

#endif
