// The page of `heaptape flame`. The command writes window.heaptape: { title, subtitle, first, metrics:
// [{ name, unit }], frames: [[name, place, module]], nodes: [[caller's place in nodes, frame, a value per
// metric...]] }. nodes[0] is the whole, and a caller stands before those it calls.
import { flamegraph } from 'd3-flame-graph';
import { select } from 'd3-selection';
import graphStyle from 'd3-flame-graph/dist/d3-flamegraph.css';
import pageStyle from './flame.css';

const data = window.heaptape;
const CALLER = 0, FRAME = 1, VALUES = 2;
const whole = (metric) => data.nodes[0][VALUES + metric];

const style = document.createElement('style');
style.textContent = graphStyle + pageStyle;
document.head.append(style);

function element(name, attributes, ...children) {
	const made = Object.assign(document.createElement(name), attributes);
	made.append(...children);
	return made;
}

function amount(value, unit) {
	if (unit !== 'bytes')
		return value.toLocaleString('en') + (value === 1 ? ' ' + unit.replace(/s$/, '') : ' ' + unit);
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
	let scaled = value, at = 0;
	for (; scaled >= 1024 && at < 4; at++) scaled /= 1024;
	return (at ? scaled.toPrecision(scaled < 999.5 ? 3 : 4) : scaled) + ' ' + units[at];
}

// One metric's tree as the chart takes it; branches without any of it are left out.
function branch(metric) {
	const made = [];
	data.nodes.forEach((node, at) => {
		const frame = data.frames[node[FRAME]], value = node[VALUES + metric], caller = made[node[CALLER]];
		if (at && !(value > 0 && caller)) return;
		made[at] = { name: frame[0], place: frame[1], module: frame[2], value, children: [] };
		if (at) caller.children.push(made[at]);
	});
	return made[0];
}

// The same module has the same hue, the same function the same shade of it.
function hash(text) {
	let value = 2166136261;
	for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 16777619);
	return value >>> 0;
}
function colour(node) {
	if (node.highlight) return '#e65ad2';
	const hue = (hash(node.data.module || '') % 60) * 6;
	return `hsl(${hue}, 62%, ${58 + hash(node.data.name) % 16}%)`;
}

const measure = element('select', { title: 'What the widths mean' },
	...data.metrics.map((metric, i) => element('option', { value: i, textContent: metric.name })));
const search = element('input', { type: 'search', placeholder: 'Search ( / )', title: 'A part of a name, or a regular expression' });
const flip = element('button', { textContent: 'Flip', title: 'Outermost callers at the top or at the bottom' });
const reset = element('button', { textContent: 'Reset', title: 'Zoom out, clear the search (Esc)' });
const details = element('div', { id: 'details' });
const place = element('div', { id: 'chart' });
document.body.append(
	element('header', {}, element('h1', {}, data.title, element('small', { textContent: data.subtitle })),
		measure, search, flip, reset), details, place);

let chart = null, found = '';

function describe(node) {
	const metric = data.metrics[measure.value], all = whole(Number(measure.value));
	details.replaceChildren();
	if (!node) {
		details.append('Each box is a function; its width is its share of ',
			element('b', { textContent: amount(all, metric.unit) +
				(metric.name === metric.unit ? '' : ` (${metric.name})`) }),
			'. Click to zoom, hover for details. ', found);
		return;
	}
	details.append(element('b', { textContent: node.data.name }), ' ', node.data.place || '', ' ',
		node.data.module && node.data.module !== node.data.name ? `(${node.data.module})` : '',
		element('br', {}),
		`${amount(node.data.value, metric.unit)}, ${(100 * node.data.value / all).toFixed(2)} % of all`,
		node.parent ? `, ${(100 * node.data.value / node.parent.data.value).toFixed(1)} % of its caller` : '');
}

let inverted = true;
function draw() {
	const metric = Number(measure.value);
	place.replaceChildren();
	found = '';
	if (!(whole(metric) > 0)) {
		details.replaceChildren();
		place.append(element('div', { id: 'none', textContent: `Nothing here: this run has no ${data.metrics[metric].name}.` }));
		chart = null;
		return;
	}
	chart = flamegraph().width(Math.max(300, place.clientWidth - 32)).cellHeight(19).inverted(inverted)
		.minFrameSize(1).transitionDuration(200).sort((a, b) => b.data.value - a.data.value)
		.tooltip(false).label(() => '').setColorMapper(colour).onHover(describe);
	select(place).datum(branch(metric)).call(chart);
	describe(null);
	if (search.value.trim()) find();
}
// Zoom and search are done here: the chart's own are recursive, and fail on stacks of thousands of frames.
function zoom(node) {
	select(place).datum().each((other) => { other.data.hide = other.data.fade = false; });
	for (let at = node; at.parent; at = at.parent) {
		at.parent.data.fade = true;
		for (const other of at.parent.children) if (other !== at) other.data.hide = true;
	}
	chart.update();
}
place.addEventListener('click', (event) => {
	const box = event.target.closest('g.frame');
	event.stopPropagation();
	if (box) zoom(select(box).datum());
}, true);

// Marks what `matches`, and says its share.
function mark(matches) {
	const root = select(place).datum();
	let sum = 0, count = 0;
	root.each((node) => {
		const inside = node.parent && (node.parent.inside || node.parent.highlight);
		node.highlight = Boolean(matches) && matches(node.data.name);
		node.inside = inside;
		if (!node.highlight) return;
		count++;
		if (!inside) sum += node.data.value;
	});
	found = !matches ? '' : count ? `Found in ${(100 * sum / root.data.value).toFixed(2)} % of all.` :
		'No function has such a name.';
	chart.update();
	describe(null);
}
function find() {
	if (!chart) return;
	const text = search.value.trim();
	let pattern = null;
	try {
		pattern = new RegExp(text, 'i');
	} catch {
		pattern = null;
	}
	mark(!text ? null : (name) => pattern ? pattern.test(name) : name.includes(text));
}
function clear() {
	search.value = '';
	if (!chart) return;
	zoom(select(place).datum());
	mark(null);
}

measure.value = data.first;
measure.addEventListener('change', draw);
search.addEventListener('input', find);
reset.addEventListener('click', clear);
flip.addEventListener('click', () => { inverted = !inverted; draw(); });
place.addEventListener('mouseleave', () => describe(null));
document.addEventListener('keydown', (event) => {
	if (event.key === 'Escape') clear();
	if (event.key === '/' && document.activeElement !== search) {
		event.preventDefault();
		search.focus();
	}
});
let resizing = 0;
window.addEventListener('resize', () => { clearTimeout(resizing); resizing = setTimeout(draw, 150); });
draw();
