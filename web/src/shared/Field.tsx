// A number with a name: a slider for the hand and a box for the exact value.
import { useEffect, useState } from "preact/hooks";

export interface FieldProps {
  label: string;
  unit?: string;
  value: number;
  limits: readonly [number, number];
  step?: number;
  digits?: number;
  slider?: boolean;
  onChange: (value: number, done: boolean) => void;
}

export function Field(props: FieldProps) {
  const { label, unit, value, limits, step = 1, digits = 0 } = props;
  const [draft, setDraft] = useState<string | null>(null);
  useEffect(() => setDraft(null), [value]);
  const take = (text: string) => {
    const number = Number(text.replace(",", "."));
    if (text.trim() !== "" && Number.isFinite(number))
      props.onChange(Math.min(Math.max(number, limits[0]), limits[1]), true);
    setDraft(null);
  };
  return (
    <div class="field">
      <label>
        <span class="field-label">{label}</span>
        <span class="field-box">
          <input
            type="number"
            value={draft ?? value.toFixed(digits)}
            min={limits[0]}
            max={limits[1]}
            step={step}
            aria-label={unit ? `${label}, ${unit}` : label}
            onInput={(event) => setDraft(event.currentTarget.value)}
            onChange={(event) => take(event.currentTarget.value)}
          />
          {unit && <span class="field-unit">{unit}</span>}
        </span>
      </label>
      {props.slider !== false && (
        <input
          type="range"
          aria-label={unit ? `${label}, ${unit} (slider)` : `${label} (slider)`}
          value={value}
          min={limits[0]}
          max={limits[1]}
          step={step}
          onInput={(event) => props.onChange(Number(event.currentTarget.value), false)}
          onChange={(event) => props.onChange(Number(event.currentTarget.value), true)}
        />
      )}
    </div>
  );
}
