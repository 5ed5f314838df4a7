package platform

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// maxChanges is how many changed files are told of.
const maxChanges = 200

// Comparison is what two releases of an app differ in.
type Comparison struct {
	Old, New    hop3.Release
	Differences []hop3.Difference
	Files       []hop3.FileChange // the first of them, by path
	More        int               // how many more files there are
}

// Diff compares two releases, also ones that failed or whose files are gone.
// Of variables it tells the names only: their values may be secrets. With to 0
// it is the live release, with from 0 the one that served before that. It
// returns a CodeNotFound error when there is no such release.
func (p *Platform) Diff(ctx context.Context, who Actor, name string, from, to int) (Comparison, error) {
	app, _, err := p.app(ctx, who, name, hop3.RoleViewer)
	if err != nil {
		return Comparison{}, err
	}
	all, err := p.Store.Releases(ctx, name)
	if err != nil {
		return Comparison{}, err
	}
	if to == 0 {
		to = app.Live
	}
	if from == 0 {
		from = servedBefore(all, to)
	}
	if from == 0 || to == 0 {
		return Comparison{}, hop3.Errorf(hop3.CodeNotFound, "App '%s' has no two releases to compare.", name).
			WithHint("Name them, as in: hop3 diff v1 v2 --app %s", name)
	}
	var c Comparison
	for _, r := range all {
		if r.Number == from {
			c.Old = r
		}
		if r.Number == to {
			c.New = r
		}
	}
	for number, r := range map[int]hop3.Release{from: c.Old, to: c.New} {
		if r.Number == 0 {
			return Comparison{}, hop3.Errorf(hop3.CodeNotFound, "Release v%d of '%s' not found.", number, name)
		}
	}
	c.Differences = differences(c.Old, c.New)
	if c.Old.Commit != "" && c.New.Commit != "" && c.Old.Commit != c.New.Commit {
		if c.Files, c.More, err = p.Repos.Changes(ctx, repoOf(app), c.Old.Commit, c.New.Commit, maxChanges); err != nil {
			return Comparison{}, fmt.Errorf("comparing the commits: %w", err)
		}
	}
	return c, nil
}

// Private

// servedBefore is the newest release before one that has served.
func servedBefore(all []hop3.Release, number int) int {
	before := 0
	for _, r := range all {
		if r.Number < number && !r.LiveAt.IsZero() {
			before = max(before, r.Number)
		}
	}
	return before
}

// properties are what a release is compared by, in the order they are told.
func properties(r hop3.Release) (names []string, values map[string]string) {
	values = make(map[string]string)
	add := func(name, value string) {
		if value != "" {
			names = append(names, name)
			values[name] = value
		}
	}
	add("Commit", r.Commit)
	add("Subject", r.Subject)
	add("Author", r.Author)
	add("Branch", r.Branch)
	add("Toolchains", strings.Join(r.Artifact.Toolchains, ", "))
	for _, proc := range r.Processes {
		add("Process "+proc.Type, fmt.Sprintf("%d × %s", proc.Count, proc.Command))
	}
	add("Hosts", strings.Join(r.Hosts, ", "))
	add("Plain HTTP", map[bool]string{true: "allowed"}[r.AllowHTTP])
	settings := r.HTTPLayers.All()
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		add("HTTP "+key, settings.Shown(key))
	}
	add("Health check", healthText(r.Health))
	add("Start timeout", nonZero(r.StartTimeout))
	add("Memory limit", nonZero(r.Limits.Memory))
	add("CPU limit", nonZero(r.Limits.CPU))
	add("Process limit", nonZero(r.Limits.Processes))
	for _, kind := range slices.Sorted(maps.Keys(r.Scaling)) {
		s := r.Scaling[kind]
		add("Scaling "+kind, fmt.Sprintf("%d to %d, %d requests each, sleeps after %s", s.Min, s.Max, s.TargetConcurrency, s.SleepAfter))
	}
	add("Releases kept", nonZero(r.Keep))
	for _, prefix := range slices.Sorted(maps.Keys(r.Static)) {
		add("Static "+prefix, r.Static[prefix])
	}
	for _, port := range r.Ports {
		add("Port "+port.String(), strings.TrimSpace(port.Name+" from "+port.Source))
	}
	for _, v := range r.Volumes {
		add("Volume "+v.Name, v.Target+whatIs(v))
	}
	for _, e := range r.Cron {
		add("Cron "+e.Name, strings.TrimSpace(e.Schedule+" "+e.Command))
	}
	return names, values
}

func healthText(h hop3.HealthCheck) string {
	if h == (hop3.HealthCheck{}) {
		return ""
	}
	text := h.Path
	if text == "" {
		text = "/"
	}
	if h.Contains != "" {
		text += " containing " + strconv.Quote(h.Contains)
	}
	return fmt.Sprintf("%s, every %s for %s, %d retries", text, h.Interval, h.Timeout, h.Retries)
}

// nonZero is a number or a duration, "" when it is not set.
func nonZero[T comparable](v T) string {
	var zero T
	if v == zero {
		return ""
	}
	return fmt.Sprint(v)
}

func differences(old, new hop3.Release) []hop3.Difference {
	names, before := properties(old)
	more, after := properties(new)
	for _, name := range more {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	var out []hop3.Difference
	for _, name := range names {
		if before[name] != after[name] {
			out = append(out, hop3.Difference{Property: name, Old: before[name], New: after[name]})
		}
	}
	return append(out, variables(old.Env, new.Env)...)
}

// variables are the differences of two environments, without their values.
func variables(old, new hop3.Env) []hop3.Difference {
	var out []hop3.Difference
	for _, key := range old.Merge(new).Keys() {
		before, had := old[key]
		after, has := new[key]
		d := hop3.Difference{Property: "Variable " + key}
		switch {
		case had && has && before == after:
			continue
		case had && has:
			d.Old, d.New = "set", "changed"
		case had:
			d.Old = "set"
		default:
			d.New = "set"
		}
		out = append(out, d)
	}
	return out
}
