package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/platform"
)

func certCommands() []Command {
	return []Command{
		{Name: "cert list", Aliases: []string{"cert status", "certs"}, Summary: "Show the certificates of an app, or of all", Usage: "[APP]", App: TakesApp, Max: 1, Run: certList},
		{Name: "cert renew", Summary: "Get missing certificates, and new ones for old", Usage: "[APP]", App: TakesApp, Max: 1, Run: certRenew, Flags: []Flag{
			{Name: "force", Help: "also those that are good for long"},
			{Name: "days", Value: "N", Help: "those that end within so many days (30)"},
		}},
		{Name: "cert add", Summary: "Use a certificate of your own for an app", Usage: "CERTIFICATE-FILE [KEY-FILE]", App: NeedsApp, Min: 1, Max: 2, Run: certAdd},
		{Name: "cert remove", Summary: "Stop using a certificate of your own", Usage: "HOST", App: NeedsApp, Min: 1, Max: 1, Run: certRemove},
	}
}

// certApp is the app of a command that also takes it as an argument.
func (c *Call) certApp() string {
	if len(c.Args) > 0 {
		return c.Args[0]
	}
	return c.App
}

func certList(ctx context.Context, c *Call) ([]api.Item, error) {
	all, err := c.Platform.Certificates(ctx, c.certApp())
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return []api.Item{api.Text("There are no host names yet.")}, nil
	}
	table := api.Table([]string{"App", "Domain", "Type", "Days left", "Status"})
	for _, h := range all {
		table.Rows = append(table.Rows, []any{h.App, h.Host, certType(h), certDays(h), certStatus(h)})
	}
	showNames(&table, 1)
	return []api.Item{table}, nil
}

func certType(h platform.HostCertificate) string {
	if h.Kind == "" {
		return "-"
	}
	return h.Kind
}

func certDays(h platform.HostCertificate) string {
	if h.Kind == "" {
		return "-"
	}
	return fmt.Sprint(int(math.Floor(time.Until(h.NotAfter).Hours() / 24)))
}

func certStatus(h platform.HostCertificate) string {
	switch {
	case h.Error != "" && h.NextTry.IsZero():
		return oneLine(h.Error)
	case h.Error != "":
		return oneLine(h.Error) + " Next attempt: " + stamp(h.NextTry) + " UTC."
	case h.Kind == "" && hop3.LocalHost(h.Host):
		return "made by the server when a visitor comes"
	case h.Kind == "":
		return "none yet"
	case time.Now().After(h.NotAfter):
		return "expired"
	}
	return "valid until " + h.NotAfter.UTC().Format(time.DateOnly) + ", by " + h.Issuer
}

func certRenew(ctx context.Context, c *Call) ([]api.Item, error) {
	days, err := c.number("days", 30, 3650)
	if err != nil {
		return nil, err
	}
	var out lines
	if err := c.Platform.RenewCertificates(ctx, c.certApp(), time.Duration(days)*24*time.Hour, c.Has("force"), &out); err != nil {
		return nil, out.failed(err)
	}
	items := out.items()
	if len(items) == 0 {
		items = append(items, api.Text("There is nothing to renew: local names get theirs from the server."))
	}
	return items, nil
}

func certAdd(ctx context.Context, c *Call) ([]api.Item, error) {
	chain := c.Args[0]
	key := chain // in one file
	if len(c.Args) == 2 {
		key = c.Args[1]
	}
	cert, err := c.Platform.AddCertificate(ctx, c.App, []byte(chain), []byte(key))
	if err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("'%s' uses the certificate for %s by %s, good until %s.", c.App, strings.Join(cert.Names, ", "), cert.Issuer, cert.NotAfter.UTC().Format(time.DateOnly)),
		api.Summary("added a certificate to %s.", c.App),
	}, nil
}

func certRemove(ctx context.Context, c *Call) ([]api.Item, error) {
	if err := c.Platform.RemoveCertificate(ctx, c.App, c.Args[0]); err != nil {
		return nil, err
	}
	return []api.Item{
		api.Text("'%s' no longer uses its own certificate for %s.", c.App, c.Args[0]),
		api.Summary("removed a certificate from %s.", c.App),
	}, nil
}

// waitForCertificates adds to the answer how the new hosts get their
// certificates: as a stream, or at once for who does not follow one. The hosts
// are the app's whatever comes of it.
func (c *Call) waitForCertificates(ctx context.Context, hosts []string, items []api.Item) ([]api.Item, error) {
	if !c.Extra.Streaming {
		var out lines
		err := c.Platform.WaitForCertificates(ctx, hosts, &out)
		if err != nil {
			return nil, out.failed(err)
		}
		return append(items, out.items()...), nil
	}
	log := c.Streams.New(c.App, c.User.Username)
	started := c.Platform.Go("certificates", func(ctx context.Context) {
		success, why := false, "The wait ended unexpectedly; the server's log says more."
		defer func() { log.Finish(success, why) }() // also when it panics
		if err := c.Platform.WaitForCertificates(ctx, hosts, log); err != nil {
			why = hop3.MessageOf(err)
			return
		}
		success, why = true, ""
	})
	if !started {
		log.Finish(false, "The server is shutting down.")
		return nil, errors.New("the server is shutting down")
	}
	return append(items, api.Stream(log.ID)), nil
}
