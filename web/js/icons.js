/* Line icons on a 24 x 24 grid, drawn for this page. They are decoration: names for screen readers stand at the button. */
import { svg } from './dom.js';

const PATHS = {
  play: ['M7 5l12 7-12 7z'],
  stop: ['M7 7h10v10H7z'],
  plus: ['M12 5v14', 'M5 12h14'],
  close: ['M6 6l12 12', 'M18 6L6 18'],
  left: ['M14 6l-6 6 6 6'],
  right: ['M10 6l6 6-6 6'],
  up: ['M6 14l6-6 6 6'],
  swap: ['M7 8h12l-3-3', 'M17 16H5l3 3'],
  dice: ['M5 5h14v14H5z', 'M9 9h.01', 'M15 15h.01', 'M12 12h.01'],
  lock: ['M7 11h10v8H7z', 'M9 11V8a3 3 0 0 1 6 0v3'],
  unlock: ['M7 11h10v8H7z', 'M9 11V8a3 3 0 0 1 5.6-1.5'],
  download: ['M12 4v11', 'M7 11l5 5 5-5', 'M5 20h14'],
  copy: ['M9 9h10v10H9z', 'M5 15V5h10'],
  link: ['M10 14a4 4 0 0 0 6 .5l2.5-2.5a4 4 0 0 0-5.6-5.6L11.5 7.8', 'M14 10a4 4 0 0 0-6-.5L5.500 12a4 4 0 0 0 5.600 5.600l1.300-1.300'],
  camera: ['M4 8h4l1.500-2.500h5L16 8h4v11H4z', 'M12 16.500a3.200 3.200 0 1 0 0-6.400 3.200 3.200 0 0 0 0 6.400'],
  image: ['M4 5h16v14H4z', 'M4 16l5-5 4 4 3-3 4 4', 'M15.500 9.500h.01'],
  chain: ['M5 12h10', 'M11 7l5 5-5 5', 'M19 5v14'],
  repeat: ['M5 11a7 7 0 0 1 12-4l2 2', 'M19 4v5h-5', 'M19 13a7 7 0 0 1-12 4l-2-2', 'M5 20v-5h5'],
  sparkles: ['M12 4l1.800 5.200L19 11l-5.200 1.800L12 18l-1.800-5.200L5 11l5.200-1.800z', 'M19 16v4', 'M17 18h4'],
  compare: ['M12 4v16', 'M4 7h5v10H4', 'M20 7h-5v10h5'],
  full: ['M4 9V4h5', 'M20 9V4h-5', 'M4 15v5h5', 'M20 15v5h-5'],
  zoomin: ['M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13', 'M15.500 15.500L20 20', 'M8 10.500h5', 'M10.500 8v5'],
  zoomout: ['M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13', 'M15.500 15.500L20 20', 'M8 10.500h5'],
  code: ['M8 7l-5 5 5 5', 'M16 7l5 5-5 5'],
  trash: ['M5 7h14', 'M9 7V4h6v3', 'M7 7l1 13h8l1-13'],
  open: ['M5 5h6', 'M5 5v14h14v-6', 'M13 5h6v6', 'M19 5l-8 8'],
  key: ['M8 15a4 4 0 1 0 0-8 4 4 0 0 0 0 8', 'M12 11h9', 'M18 11v4'],
  sun: ['M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8', 'M12 2v3', 'M12 19v3', 'M2 12h3', 'M19 12h3', 'M5 5l2 2', 'M17 17l2 2', 'M5 19l2-2', 'M17 7l2-2'],
  moon: ['M19 14.500A8 8 0 0 1 9.500 5a8 8 0 1 0 9.500 9.500'],
  auto: ['M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16', 'M12 4v16', 'M12 8h4', 'M12 12h7', 'M12 16h5'],
  globe: ['M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18', 'M3 12h18', 'M12 3c3 3 3 15 0 18', 'M12 3c-3 3-3 15 0 18'],
  warn: ['M12 4l9 16H3z', 'M12 10v4', 'M12 17h.01'],
  check: ['M5 13l4 4L19 7'],
  list: ['M8 6h12', 'M8 12h12', 'M8 18h12', 'M4 6h.01', 'M4 12h.01', 'M4 18h.01'],
  chart: ['M4 20V4', 'M4 20h16', 'M7 15l4-5 3 3 5-7'],
  brush: ['M14 5l5 5-8 8H6v-5z', 'M4 21h16'],
  leave: ['M14 4H5v16h9', 'M10 12h11', 'M17 8l4 4-4 4'],
};

export function icon(name, size = 20) {
  return svg('svg', {
    viewBox: '0 0 24 24', width: size, height: size, class: 'icon', 'aria-hidden': 'true', fill: 'none', stroke: 'currentColor',
    'stroke-width': 1.8, 'stroke-linecap': 'round', 'stroke-linejoin': 'round',
  }, (PATHS[name] ?? PATHS.warn).map((d) => svg('path', { d })));
}
