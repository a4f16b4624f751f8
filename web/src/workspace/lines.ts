// Lines of equal value on a slice of any shape, by marching squares.

/** Adds the line of ``level`` to ``path``; ``values`` are rows of ``nx``, places in units of pixels. */
export function addLine(
  path: Path2D,
  values: ArrayLike<number>,
  ny: number,
  nx: number,
  level: number,
  toX: (column: number) => number,
  toY: (row: number) => number,
): void {
  for (let j = -1; j < ny; j++) {
    for (let i = -1; i < nx; i++) {
      // beyond the border there is nothing, so that every line is closed
      const inX = i >= 0;
      const nextX = i < nx - 1;
      const a = inX && j >= 0 ? values[j * nx + i]! : 0;
      const b = nextX && j >= 0 ? values[j * nx + i + 1]! : 0;
      const c = nextX && j < ny - 1 ? values[(j + 1) * nx + i + 1]! : 0;
      const d = inX && j < ny - 1 ? values[(j + 1) * nx + i]! : 0;
      const code = (a >= level ? 1 : 0) | (b >= level ? 2 : 0) | (c >= level ? 4 : 0) | (d >= level ? 8 : 0);
      if (code === 0 || code === 15) continue;
      const topX = toX(i + (level - a) / (b - a)), topY = toY(j);
      const rightX = toX(i + 1), rightY = toY(j + (level - b) / (c - b));
      const bottomX = toX(i + (level - d) / (c - d)), bottomY = toY(j + 1);
      const leftX = toX(i), leftY = toY(j + (level - a) / (d - a));
      if (code === 1 || code === 14) { path.moveTo(leftX, leftY); path.lineTo(topX, topY); }
      else if (code === 2 || code === 13) { path.moveTo(topX, topY); path.lineTo(rightX, rightY); }
      else if (code === 3 || code === 12) { path.moveTo(leftX, leftY); path.lineTo(rightX, rightY); }
      else if (code === 4 || code === 11) { path.moveTo(rightX, rightY); path.lineTo(bottomX, bottomY); }
      else if (code === 6 || code === 9) { path.moveTo(topX, topY); path.lineTo(bottomX, bottomY); }
      else if (code === 7 || code === 8) { path.moveTo(leftX, leftY); path.lineTo(bottomX, bottomY); }
      else if (code === 5) {
        path.moveTo(leftX, leftY); path.lineTo(topX, topY);
        path.moveTo(rightX, rightY); path.lineTo(bottomX, bottomY);
      } else {
        path.moveTo(topX, topY); path.lineTo(rightX, rightY);
        path.moveTo(leftX, leftY); path.lineTo(bottomX, bottomY);
      }
    }
  }
}
