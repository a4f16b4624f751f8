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
  /** Where the number begins anew, as angles do: it is turned there instead of being limited. */
  turn?: number;
  onChange: (value: number, done: boolean) => void;
}

export function Field(props: FieldProps) {
  const { label, unit, value, limits, step = 1, digits = 0, turn } = props;
  const [draft, setDraft] = useState<string | null>(null);
  const [note, setNote] = useState("");
  useEffect(() => setDraft(null), [value]);
  const take = (text: string) => {
    const number = Number(text.replace(",", "."));
    setNote("");
    if (text.trim() !== "" && Number.isFinite(number)) {
      const near = turn ? ((number % turn) + turn) % turn : Math.min(Math.max(number, limits[0]), limits[1]);
      if (!turn && near !== number)
        setNote(`${number} is not possible: ${limits[0]} to ${limits[1]}${unit ? ` ${unit}` : ""}`);
      props.onChange(near, true);
    }
    setDraft(null);
  };
  const shown = value.toFixed(digits);
  return (
    <div class="field">
      <label>
        <span class="field-label">{label}</span>
        <span class="field-box">
          <input
            type="number"
            value={draft ?? (turn ? `${+shown}` : shown)}
            min={turn ? undefined : limits[0]}
            max={turn ? undefined : limits[1]}
            step={turn ? "any" : step}
            aria-label={unit ? `${label}, ${unit}` : label}
            onInput={(event) => setDraft(event.currentTarget.value)}
            onChange={(event) => take(event.currentTarget.value)}
          />
          {unit && <span class="field-unit">{unit}</span>}
        </span>
      </label>
      {note && (
        <p class="small field-note" role="status">
          {note}
        </p>
      )}
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
