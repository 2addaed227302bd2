/* Two small charts as SVG: bars over days, a line over the last minutes. A table of the same numbers is there for those who
 * cannot see them. */
import { h, svg, replace } from './dom.js';

const WIDE = 320;
const HIGH = 96;

export function bars(rows, label, format) {
  const most = Math.max(1e-9, ...rows.map((row) => row.value));
  const step = WIDE / Math.max(1, rows.length);
  const drawing = svg('svg', { viewBox: `0 0 ${WIDE} ${HIGH}`, class: 'chart', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    rows.map((row, at) => {
      const high = Math.max(row.value > 0 ? 2 : 0.5, (HIGH - 6) * row.value / most);
      return svg('rect', { x: at * step + step * 0.12, y: HIGH - high, width: step * 0.76, height: high, rx: 2, class: 'chartbar' }, svg('title', {}, `${row.name}: ${format(row.value)}`));
    }));
  return h('figure', { class: 'chartbox' }, h('figcaption', {}, label), drawing,
    h('div', { class: 'row hint' }, rows[0]?.name ?? '', h('span', { class: 'push' }), rows.at(-1)?.name ?? ''),
    h('table', { class: 'unseen' }, h('caption', {}, label), h('tbody', {}, rows.map((row) => h('tr', {}, h('th', { scope: 'row' }, row.name), h('td', {}, format(row.value)))))));
}

/* A line that grows: push(value) adds a point and lets the oldest go. */
export class Line {
  constructor(label, format, most = 90) {
    this.values = [];
    this.format = format;
    this.most = most;
    this.now = h('strong', { class: 'chartnow' }, '–');
    this.area = svg('path', { class: 'chartarea' });
    this.line = svg('path', { class: 'chartline', fill: 'none' });
    this.top = h('span', { class: 'hint' });
    this.element = h('figure', { class: 'chartbox' }, h('figcaption', { class: 'row' }, label, h('span', { class: 'push' }), this.now),
      svg('svg', { viewBox: `0 0 ${WIDE} ${HIGH}`, class: 'chart', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, this.area, this.line), this.top);
  }

  push(value) {
    this.values.push(value);
    if (this.values.length > this.most) this.values.shift();
    const top = Math.max(1e-9, ...this.values);
    const points = this.values.map((one, at) => `${((at + this.most - this.values.length) * WIDE / (this.most - 1)).toFixed(1)},${(HIGH - 3 - (HIGH - 8) * one / top).toFixed(1)}`);
    this.line.setAttribute('d', `M${points.join('L')}`);
    const [first] = points[0].split(',');
    this.area.setAttribute('d', `M${first},${HIGH}L${points.join('L')}L${WIDE},${HIGH}Z`);
    replace(this.now, this.format(value));
    replace(this.top, this.format(top));
  }
}
