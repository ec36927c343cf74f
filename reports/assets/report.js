// What charts stand for, told to who points at them: values are read back from the places that were drawn.
'use strict';
(() => {
  const tip = document.getElementById('tip');
  const svgNamespace = 'http://www.w3.org/2000/svg';
  let cross = null;

  const hide = () => {
    tip.hidden = true;
    if (cross) cross.remove();
    cross = null;
  };

  const show = (lines, event) => {
    tip.replaceChildren();
    lines.forEach(({ colour, text }, index) => {
      if (index > 0) tip.append('\n');
      if (colour) {
        const block = document.createElement('i');
        block.style.background = colour;
        tip.append(block);
      }
      tip.append(text);
    });
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const right = event.clientX + 16 + width < document.documentElement.clientWidth;
    tip.style.left = Math.max(4, right ? event.clientX + 16 : event.clientX - 16 - width) + 'px';
    tip.style.top = Math.max(4, Math.min(event.clientY + 16, window.innerHeight - height - 8)) + 'px';
  };

  const parse = (text) => {
    const [kind, low, high, label, unit, ...rest] = text.split('|');
    const names = [];
    for (let i = 0; i + 1 < rest.length; i += 2) names.push([Number(rest[i]), rest[i + 1]]);
    return { log: kind === 'log', low: Number(low), high: Number(high), label, unit, names };
  };

  const valueAt = (scale, share) => scale.log
    ? scale.low * Math.pow(scale.high / scale.low, share)
    : scale.low + share * (scale.high - scale.low);

  const number = (value) => {
    if (value === 0) return '0';
    const size = Math.abs(value);
    if (size >= 1e6 || size < 1e-4) return value.toExponential(3);
    return String(Number(value.toPrecision(4)));
  };

  const told = (scale, value) => {
    if (scale.names.length > 0) {
      const off = (name) => Math.abs(name[0] - value);
      return scale.names.reduce((a, b) => (off(b) < off(a) ? b : a))[1];
    }
    if (scale.unit === 'B') {
      const power = Math.min(3, Math.max(0, Math.floor(Math.log2(value) / 10)));
      return number(value / 1024 ** power) + ' ' + ['B', 'KiB', 'MiB', 'GiB'][power];
    }
    return number(value) + (scale.unit ? ' ' + scale.unit : '');
  };

  // The curves of a plot with their places, read once.
  const curves = (plot) => {
    if (plot.curves) return plot.curves;
    const svg = plot.ownerSVGElement;
    const index = [...svg.querySelectorAll('rect.plot')].indexOf(plot);
    plot.curves = [...svg.querySelectorAll(`path[data-plot="${index}"]`)].map((line) => ({
      name: line.dataset.name,
      colour: line.getAttribute('stroke'),
      points: line.getAttribute('d').slice(1).split(/[M ]/).map((pair) => pair.split(',').map(Number)),
    }));
    return plot.curves;
  };

  const nearest = (points, x) => points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));

  const inside = (svg, event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());

  const tellPlot = (plot, event) => {
    const svg = plot.ownerSVGElement;
    const at = inside(svg, event);
    const box = { left: plot.x.baseVal.value, top: plot.y.baseVal.value, width: plot.width.baseVal.value, height: plot.height.baseVal.value };
    const [x, y] = [parse(plot.dataset.x), parse(plot.dataset.y)];
    const best = new Map();
    for (const curve of curves(plot)) {
      if (!curve.name) continue;
      const point = nearest(curve.points, at.x);
      const known = best.get(curve.name);
      if (!known || Math.abs(point[0] - at.x) < Math.abs(known.point[0] - at.x)) best.set(curve.name, { ...curve, point });
    }
    if (best.size === 0) return hide();
    // The nearest place that has a value, and what the others have there: where one has a gap, it says nothing.
    const place = nearest([...best.values()].map(({ point }) => point), at.x)[0];
    const found = [...best.values()].filter(({ point }) => Math.abs(point[0] - place) < box.width / 50);
    found.sort((a, b) => Math.abs(a.point[1] - at.y) - Math.abs(b.point[1] - at.y));
    const lines = [{ text: `${x.label ? x.label + ': ' : ''}${told(x, valueAt(x, (place - box.left) / box.width))}` }];
    for (const { name, colour, point } of found.slice(0, 12)) {
      const value = valueAt(y, (box.top + box.height - point[1]) / box.height);
      lines.push({ colour, text: `${name}: ${told(y, value)}` });
    }
    lines.push({ text: y.label });
    if (cross) cross.remove();
    cross = document.createElementNS(svgNamespace, 'line');
    cross.setAttribute('class', 'cross');
    cross.setAttribute('x1', place);
    cross.setAttribute('x2', place);
    cross.setAttribute('y1', box.top);
    cross.setAttribute('y2', box.top + box.height);
    svg.append(cross);
    show(lines, event);
  };

  const tellHeat = (row, event) => {
    const at = inside(row.ownerSVGElement, event);
    const values = row.dataset.values.split('|');
    const share = (at.x - row.x.baseVal.value) / row.width.baseVal.value;
    const column = Math.min(values.length - 1, Math.max(0, Math.floor(share * values.length)));
    const time = Number(row.dataset.from) + column * Number(row.dataset.step);
    show([{ text: row.dataset.name }, { text: `${number(time)} s: ${values[column] || '0'}` }], event);
  };

  const tell = (event) => {
    const under = document.elementsFromPoint(event.clientX, event.clientY);
    const thing = under.find((element) => element.dataset && element.dataset.tip);
    const area = under.find((element) => element.matches('rect.plot, rect.heat'));
    if (thing) {
      if (cross) cross.remove();
      cross = null;
      show(thing.dataset.tip.split('\n').map((text) => ({ text })), event);
    } else if (area && area.matches('.plot')) tellPlot(area, event);
    else if (area) tellHeat(area, event);
    else hide();
  };

  document.addEventListener('pointermove', tell);
  document.addEventListener('pointerdown', tell);
  document.addEventListener('scroll', hide, { passive: true });
  // On paper nothing can be unfolded.
  window.addEventListener('beforeprint', () => document.querySelectorAll('details').forEach((fold) => { fold.open = true; }));
})();
