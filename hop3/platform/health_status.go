package platform

import (
	"fmt"
	"slices"

	"github.com/abilian/hop3/hop3"
)

// problems says what keeps instances of a release that should run from doing
// their work, one line each, the worst first. crashed says that none of them
// can: none that serves HTTP, where the release has such. sick holds why
// instances are out of rotation; diagnose, unless nil, looks at their ports.
func (p *Platform) problems(r hop3.Release, instances []hop3.Instance, sick map[string]string, diagnose func(hop3.Instance) string) (problems []string, crashed bool) {
	wanted := p.wanted(r)
	if wanted == 0 {
		return nil, false
	}
	web := slices.ContainsFunc(instances, func(i hop3.Instance) bool { return i.Upstream != "" })
	crashed = true
	var lesser []string
	for _, i := range instances {
		problem, down := p.problem(r, i, sick[instanceName(i)], diagnose)
		if !down && (i.Upstream != "" || !web) {
			crashed = false
		}
		switch {
		case problem == "":
		case down:
			problems = append(problems, problem)
		default:
			lesser = append(lesser, problem)
		}
	}
	if problems = append(problems, lesser...); crashed && len(problems) == 0 {
		problems = []string{fmt.Sprintf("none of its %d instances exists", wanted)}
	}
	return problems, crashed
}

// problem says what is wrong with an instance, "" when nothing is known to be;
// down says that it does no work.
func (p *Platform) problem(r hop3.Release, i hop3.Instance, sick string, diagnose func(hop3.Instance) string) (problem string, down bool) {
	name := instanceName(i)
	switch {
	case i.State != hop3.InstanceRunning && i.LastExit == "":
		return name + " does not run", true
	case i.State != hop3.InstanceRunning:
		return fmt.Sprintf("%s ended: %s (%s)", name, i.LastExit, restarts(i.Restarts)), true
	case i.Upstream != "" && diagnose != nil:
		if d := diagnose(i); d != "" {
			// One that has just been started may still come to it.
			return d, p.now().Sub(i.StartedAt) >= p.startTimeout(r)
		}
	}
	if sick != "" {
		return name + " is sick: " + sick, true
	}
	return "", false
}

func restarts(n int) string {
	if n == 1 {
		return "1 restart"
	}
	return fmt.Sprintf("%d restarts", n)
}
