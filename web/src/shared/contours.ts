// Lines of equal value on a grid, by marching squares.

/** Adds to ``path`` the line of ``level`` on an n x n grid whose pixel centres ``toX``, ``toY`` place. */
export function addContour(
  path: Path2D,
  values: Float32Array,
  n: number,
  level: number,
  toX: (column: number) => number,
  toY: (row: number) => number,
): void {
  for (let j = 0; j < n - 1; j++) {
    const row = j * n;
    for (let i = 0; i < n - 1; i++) {
      const a = values[row + i]!;
      const b = values[row + i + 1]!;
      const c = values[row + n + i + 1]!;
      const d = values[row + n + i]!;
      if (a === 0 || b === 0 || c === 0 || d === 0) continue; // along the skin there is no line
      const code = (a >= level ? 1 : 0) | (b >= level ? 2 : 0) | (c >= level ? 4 : 0) | (d >= level ? 8 : 0);
      if (code === 0 || code === 15) continue;
      const top = () => [toX(i + (level - a) / (b - a)), toY(j)] as const;
      const right = () => [toX(i + 1), toY(j + (level - b) / (c - b))] as const;
      const bottom = () => [toX(i + (level - d) / (c - d)), toY(j + 1)] as const;
      const left = () => [toX(i), toY(j + (level - a) / (d - a))] as const;
      const draw = (p: readonly [number, number], q: readonly [number, number]) => {
        path.moveTo(p[0], p[1]);
        path.lineTo(q[0], q[1]);
      };
      switch (code) {
        case 1: case 14: draw(left(), top()); break;
        case 2: case 13: draw(top(), right()); break;
        case 3: case 12: draw(left(), right()); break;
        case 4: case 11: draw(right(), bottom()); break;
        case 6: case 9: draw(top(), bottom()); break;
        case 7: case 8: draw(left(), bottom()); break;
        case 5: draw(left(), top()); draw(right(), bottom()); break;
        case 10: draw(top(), right()); draw(left(), bottom()); break;
      }
    }
  }
}
