package platform

import (
	"context"
	"slices"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// Endpoint says where an instance of a process type of the app's live release
// listens, as hop3.Instance.Upstream does; "" means the type that serves HTTP.
// It returns a CodeConflict error when none of that type listens.
func (p *Platform) Endpoint(ctx context.Context, who Actor, name, processType string) (string, error) {
	app, _, err := p.app(ctx, who, name, hop3.RoleDeployer)
	if err != nil {
		return "", err
	}
	if app.Live == 0 {
		return "", neverDeployed(name)
	}
	instances, err := p.Runtime.Instances(ctx, hop3.ReleaseID{App: name, Number: app.Live})
	if err != nil {
		return "", err
	}
	var types []string
	for _, i := range instances {
		if i.Upstream == "" {
			continue
		}
		if i.State == hop3.InstanceRunning && (processType == "" || i.Type == processType) {
			return i.Upstream, nil
		}
		if !slices.Contains(types, i.Type) {
			types = append(types, i.Type)
		}
	}
	switch {
	case len(types) == 0:
		return "", hop3.Errorf(hop3.CodeConflict, "No process of '%s' listens: it is stopped or asleep, or serves nothing.", name)
	case processType != "" && !slices.Contains(types, processType):
		return "", hop3.Errorf(hop3.CodeInvalid, "No process of the type %.80q of '%s' listens.", processType, name).WithHint("Those that do: %s.", strings.Join(types, ", "))
	}
	return "", hop3.Errorf(hop3.CodeConflict, "'%s' listens no more: its processes are being started again.", name)
}

// Tunnel runs serve, which passes bytes between the caller and an endpoint of
// the app, until the server ends. It is noted as an event.
func (p *Platform) Tunnel(ctx context.Context, who Actor, name, what string, serve func(ctx context.Context) error) error {
	app, _, err := p.app(ctx, who, name, hop3.RoleDeployer)
	if err != nil {
		return err
	}
	leave, ok := p.tasks.enter()
	if !ok {
		return hop3.Errorf(hop3.CodeUnavailable, "The server is shutting down. Try again in a moment.")
	}
	defer leave()
	p.happened(releaseEvent(asked(ctx, who), hop3.EventAppRan, hop3.Release{App: name, Number: app.Live}, "connected to %.100s of '%s'", what, name))
	ctx, done := p.interruptible(ctx)
	defer done()
	return serve(ctx)
}
