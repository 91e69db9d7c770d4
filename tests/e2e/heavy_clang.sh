#!/bin/sh
# clang++ on templates: hundreds of megabytes in one process, deep stacks.
. "$(dirname "$0")/lib.sh"
need clang++
cat >heavy.cc <<'EOT'
#include <algorithm>
#include <functional>
#include <map>
#include <regex>
#include <string>
#include <tuple>
#include <variant>
#include <vector>
template <int N> struct fib { static constexpr long value = fib<N - 1>::value + fib<N - 2>::value; };
template <> struct fib<0> { static constexpr long value = 0; };
template <> struct fib<1> { static constexpr long value = 1; };
template <int... I> auto table(std::integer_sequence<int, I...>) { return std::make_tuple(std::map<int, std::variant<int, std::string, std::vector<fib<I>>>>()...); }
int main()
{
	auto all = table(std::make_integer_sequence<int, 40>());
	std::regex words("([a-z]+) ([0-9]+)");
	std::vector<std::function<int(int)>> calls;
	for (int i = 0; i < 9; i++)
		calls.push_back([i](int x) { return x + i; });
	return static_cast<int>(std::tuple_size_v<decltype(all)> + fib<80>::value % 2);
}
EOT
identical clang++ -std=c++17 -O1 -g -c -o heavy.o heavy.cc
tree_whole 1
pass
