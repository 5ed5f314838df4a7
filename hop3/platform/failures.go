package platform

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// Failures are the last requests that apps did not answer. See hop3/failures.
type Failures interface {
	// Find returns those with an id, the newest first.
	Find(id string) []hop3.Failure
	// Recent returns the last n of an app, the newest first.
	Recent(app string, n int) []hop3.Failure
	// Forget forgets those of an app.
	Forget(app string) error
	Keeping() hop3.FailureKeeping
}

// FailedRequests returns the last n requests that an app did not answer, the
// newest first, with nothing in them that drives a terminal.
func (p *Platform) FailedRequests(ctx context.Context, who Actor, name string, n int) ([]hop3.Failure, error) {
	if err := p.may(ctx, who, name, hop3.RoleViewer); err != nil {
		return nil, err
	}
	if p.Failures == nil {
		return nil, nil
	}
	found := p.Failures.Recent(name, n)
	for i := range found {
		found[i] = harmless(found[i])
	}
	return found, nil
}

// WhyURL is where the server's users see what happened to a request.
func (p *Platform) WhyURL(id string) string {
	return p.ControlURL() + "/why/" + url.PathEscape(id)
}

// ControlURL is the address of the server's own pages, without a / at the end.
func (p *Platform) ControlURL() string { return p.url(p.Settings.ControlHost) }

// maxShownID is how much of an id is repeated: none is longer.
const maxShownID = 128

// Private

func (p *Platform) forgetFailures(app string) error {
	if p.Failures == nil {
		return nil
	}
	return p.Failures.Forget(app)
}

// failuresOf returns the failures of an id, as far as their apps are there. An
// id that does not exist, and one of an app that is not for this user, are the
// same error.
func (p *Platform) failuresOf(ctx context.Context, who Actor, id string) ([]hop3.Failure, error) {
	var found []hop3.Failure
	kept := hop3.FailureKeeping{}
	if p.Failures != nil {
		kept = p.Failures.Keeping()
		for _, f := range p.Failures.Find(id) {
			err := p.may(ctx, who, f.App, hop3.RoleViewer)
			if err != nil && hop3.CodeOf(err) != hop3.CodeNotFound {
				return nil, err
			}
			if err == nil {
				found = append(found, harmless(f))
			}
		}
	}
	if len(found) == 0 {
		return nil, hop3.Errorf(hop3.CodeNotFound, "No request that failed has the id %q.", plainLine(id[:min(len(id), maxShownID)])).
			WithHint("The last %d failures of each app are kept for %d days. `hop3 why --app NAME` lists those of an app.", kept.EachApp, int(kept.Age/(24*time.Hour)))
	}
	return found, nil
}

// harmless returns a failure whose texts are text only, in one line each.
func harmless(f hop3.Failure) hop3.Failure {
	for _, text := range []*string{&f.ID, &f.Host, &f.Method, &f.Path, &f.Client, &f.Detail} {
		*text = plainLine(*text)
	}
	return f
}

// plainLine makes a text that a stranger chose harmless to a terminal and to the
// line that it is put in.
func plainLine(text string) string {
	text = escape.ReplaceAllString(strings.ToValidUTF8(text, "\uFFFD"), "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0 || isDirection(r):
			return -1
		}
		return r
	}, text)
}
