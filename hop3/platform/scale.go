package platform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/manifest"
)

// Scale sets how many instances of the named process types run.
func (p *Platform) Scale(ctx context.Context, who Actor, name string, counts map[string]int, out hop3.Output) error {
	if err := p.may(ctx, who, name, hop3.RoleDeployer); err != nil {
		return err
	}
	unlock, app, live, err := p.lockLive(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	if err := checkCounts(live, counts); err != nil {
		return err
	}
	change := func(r *hop3.Release) {
		r.Processes = slices.Clone(r.Processes)
		for i := range r.Processes {
			if n, ok := counts[r.Processes[i].Type]; ok {
				r.Processes[i].Count = n
			}
		}
	}
	resting, err := p.whileResting(ctx, name, func(app hop3.App) error {
		next := live
		next.Kind = hop3.ReleaseScale
		change(&next)
		return p.changeStopped(ctx, who, app, next, nil, nil)
	})
	if err != nil {
		return err
	}
	if !resting {
		if _, err := p.rereleaseLocked(ctx, who, app, live, hop3.ReleaseScale, change, out); err != nil {
			return err
		}
	}
	_, err = p.Store.UpdateApp(context.WithoutCancel(ctx), name, func(a *hop3.App) error {
		a.Scale = maps.Clone(a.Scale)
		if a.Scale == nil {
			a.Scale = map[string]int{}
		}
		maps.Copy(a.Scale, counts)
		return nil
	})
	return err
}

// checkCounts reports everything that is wrong with the counts at once.
func checkCounts(live hop3.Release, counts map[string]int) error {
	var types, problems []string
	for _, proc := range live.Processes {
		if proc.Type != hop3.ProcessStatic && proc.Type != hop3.ProcessCron {
			types = append(types, proc.Type)
		}
	}
	for _, t := range slices.Sorted(maps.Keys(counts)) {
		n := counts[t]
		switch {
		case !slices.Contains(types, t):
			problems = append(problems, fmt.Sprintf("Process type '%s' not found for app '%s'; it has %s", t, live.App, strings.Join(types, ", ")))
		case scalingOf(live, hop3.Process{Type: t}).Max > 0:
			problems = append(problems, fmt.Sprintf("The number of '%s' follows the load, between min and max of [scaling.%s] in hop3.toml: change it there", t, t))
		case n < 0:
			problems = append(problems, fmt.Sprintf("Cannot scale '%s' below 0", t))
		case n > hop3.MaxInstances:
			problems = append(problems, fmt.Sprintf("Cannot scale '%s' above %d", t, hop3.MaxInstances))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return hop3.Errorf(hop3.CodeInvalid, "%s", joinLines(problems))
}

// countInstances lays the SCALING file of an app's venv directory, where Hop3
// (Python) keeps it, over what the manifest declares. What `ps scale` set wins
// over both.
func (p *Platform) countInstances(app string, m *manifest.Manifest) error {
	dir, err := p.Files.Open(filepath.Join(p.appDir(app), "venv"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening the venv directory of '%s': %w", app, err)
	}
	counts, err := manifest.LoadScaling(dir)
	if err != nil {
		return err
	}
	m.Count(counts)
	return nil
}
