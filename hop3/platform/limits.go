package platform

import (
	"fmt"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// limits returns what a release may use: what its manifest asks for, the
// server's defaults where it says nothing. Asking for more than the server's
// ceiling is a CodeInvalid error. Where limits cannot be enforced, asking for
// them is one too, or a warning unless the server is strict.
func (p *Platform) limits(asked hop3.Limits, out hop3.Output) (hop3.Limits, error) {
	top, standard := p.Settings.LimitsCeiling, p.Settings.LimitsDefault
	var problems []string
	check := func(key string, above bool, asked, most string) {
		if above {
			problems = append(problems, fmt.Sprintf("[limits] %s = %s is above the %s that this server gives an app", key, asked, most))
		}
	}
	check("memory", top.Memory != 0 && asked.Memory > top.Memory, FormatBytes(asked.Memory), FormatBytes(top.Memory))
	check("cpu", top.CPU != 0 && asked.CPU > top.CPU, fmt.Sprint(asked.CPU), fmt.Sprint(top.CPU))
	check("processes", top.Processes != 0 && asked.Processes > top.Processes, fmt.Sprint(asked.Processes), fmt.Sprint(top.Processes))
	if len(problems) > 0 {
		return hop3.Limits{}, hop3.Errorf(hop3.CodeInvalid, "%s", joinLines(problems)).
			WithHint("Ask for less in hop3.toml, or let the server's admin raise LIMITS_CEILING_*.")
	}
	if missing := p.Settings.LimitsMissing; missing != nil && !asked.IsZero() {
		// The rest, one line for each controller, is for the server's log.
		why, _, _ := strings.Cut(missing.Error(), "\n")
		if p.Settings.LimitsStrict {
			return hop3.Limits{}, hop3.Errorf(hop3.CodeConflict, "the app asks for [limits], which this server cannot enforce: %s", why).
				WithHint("Remove [limits] from hop3.toml, or let the server's admin set LIMITS_STRICT=false.")
		}
		tell(out, 1, "yellow", "       Warning: [limits] is not enforced: %s", why)
	}
	return hop3.Limits{
		Memory:    limit(asked.Memory, standard.Memory, top.Memory),
		CPU:       limit(asked.CPU, standard.CPU, top.CPU),
		Processes: limit(asked.Processes, standard.Processes, top.Processes),
	}, nil
}

// limit is what is asked for, else the default, else the ceiling; 0 is none.
func limit[T int | int64 | float64](asked, standard, top T) T {
	switch {
	case asked != 0:
		return asked
	case standard != 0 && (top == 0 || standard < top):
		return standard
	}
	return top
}

// FormatBytes writes a size as people do: "64 MiB".
func FormatBytes(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + " " + units[unit]
}
