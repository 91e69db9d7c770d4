# A C source of about `bytes` bytes, always the same one: structures, tables, switches, loops,
# string handling, calls among them. For compilers to work on.
function draw(n) { state = (state * 1103515245 + 12345) % 2147483648; return int(state / 65536) % n }
function emit(text) { print text; written += length(text) + 1 }
function expression(depth,  kind) {
	kind = draw(depth > 3 ? 3 : 8)
	if (kind == 0) return "a"
	if (kind == 1) return "t->v" draw(6)
	if (kind == 2) return draw(10000) "u"
	if (kind == 3) return "(" expression(depth + 1) " + " expression(depth + 1) ")"
	if (kind == 4) return "(" expression(depth + 1) " ^ " expression(depth + 1) " >> " draw(7) ")"
	if (kind == 5) return "(" expression(depth + 1) " * " (draw(30) + 1) "u)"
	if (kind == 6) return "table_" draw(tables) "[" expression(depth + 1) " % 16]"
	return "(" expression(depth + 1) " > b ? " expression(depth + 1) " : b)"
}
BEGIN {
	state = 42
	tables = 40
	emit("struct thing { unsigned v0, v1, v2, v3, v4, v5; struct thing *next; char name[32]; };")
	for (i = 0; i < tables; i++) {
		line = "static const unsigned table_" i "[16] = {"
		for (k = 0; k < 16; k++) line = line " " draw(30000) ","
		emit(line " };")
	}
	for (f = 0; written < bytes; f++) {
		emit("/* Number " f ": mixes two numbers with what the thing holds, and follows it where")
		emit(" * that leads; the words here only make the source as long as sources are. */")
		emit("unsigned work_" f "(struct thing *t, unsigned a, unsigned b)")
		emit("{")
		emit("\tunsigned r = " expression(0) ";")
		for (s = draw(6) + 3; s > 0; s--) {
			kind = draw(6)
			if (kind == 0)
				emit("\tfor (unsigned i = 0; i < b % " (draw(50) + 2) "; i++)\n\t\tr += " expression(1) " + i;")
			else if (kind == 1)
				emit("\tif (" expression(1) " > r)\n\t\tr ^= " expression(1) ";\n\telse\n\t\tt->v" draw(6) " = r;")
			else if (kind == 2) {
				emit("\tswitch (r % 8) {")
				for (c = 0; c < 6; c++) emit("\tcase " c ": r += " expression(2) "; break;")
				emit("\tdefault: r--;\n\t}")
			} else if (kind == 3 && f > 0)
				emit("\tr += work_" draw(f < 30000 ? f : 30000) "(t, r, " expression(1) ");")
			else if (kind == 4)
				emit("\twhile (t->next && r < " draw(9999) "u) {\n\t\tt = t->next;\n\t\tr += t->v" draw(6) ";\n\t}")
			else
				emit("\tfor (int i = 0; i < 31; i++)\n\t\tt->name[i] = (char)(\"thing number " f "\"[i % 12] + (char)r);")
		}
		emit("\treturn r + a + b;")
		emit("}")
		emit("")
	}
}
