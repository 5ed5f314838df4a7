package hop3cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/abilian/hop3/caddymodules"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/front"
	"github.com/abilian/hop3/hop3/serverconfig"
)

// runFlags are the flags of `hop3 run` that are settings of the server.
var runFlags = []struct{ name, usage string }{
	{"home", "the server's home directory"},
	{"host", "address of the RPC listener"},
	{"port", "port of the RPC listener"},
	{"bind", "address of the public listeners (default: all)"},
	{"http-port", "port for HTTP; 0 for none"},
	{"https-port", "port for HTTPS; 0 for none"},
	{"ssh-port", "port for git over SSH; 0 for none"},
	{"base-domain", "apps are <app>.<base domain>"},
	{"log-level", "debug, info, warn or error"},
}

// runOptions are what `hop3 run` does besides the settings.
type runOptions struct {
	settings map[string]string // by flag
	demo     bool
	stopApps bool
	check    bool
}

func runCommand() *cobra.Command {
	var o runOptions
	values := map[string]*string{}
	cmd := &cobra.Command{
		Use:     "run",
		Aliases: []string{"serve"},
		Short:   "Run the server: proxy, git over SSH, processes, API, all in this process",
		Long: `Run the whole server in this process until it is interrupted.

The apps and their databases go on running when the server ends, and the next
one adopts them, unless --stop-apps is given.`,
		Args:          noArguments,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.settings = map[string]string{}
			for _, f := range runFlags {
				if cmd.Flags().Changed(f.name) {
					o.settings[f.name] = *values[f.name]
				}
			}
			return run(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	for _, f := range runFlags {
		values[f.name] = cmd.Flags().String(f.name, "", f.usage)
	}
	cmd.Flags().BoolVar(&o.demo, "demo", false, "run on a throw-away home, push a sample app to it and serve it")
	cmd.Flags().BoolVar(&o.stopApps, "stop-apps", false, "stop the apps and their databases when the server ends")
	cmd.Flags().BoolVar(&o.check, "check", false, "only say whether the server could run with these settings")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return hop3.Errorf(hop3.CodeInvalid, "hop3 run: %w", err).WithHint("%s", oneOffHint)
	})
	return cmd
}

const oneOffHint = "`hop3 run` runs the server. One-off commands of an app are `hop3 app run --app <app> <command>`."

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return hop3.Errorf(hop3.CodeInvalid, "hop3 run takes no arguments, and got %q", strings.Join(args, " ")).WithHint("%s", oneOffHint)
}

// config says where to read the configuration.
func (o runOptions) config() serverconfig.Options {
	return serverconfig.Options{Flags: o.settings, NoFiles: o.demo}
}

// run is `hop3 run`.
func run(ctx context.Context, o runOptions, out io.Writer) (err error) {
	if o.check {
		return check(o, out)
	}
	if o.demo {
		cleanup, err := prepareDemo(&o)
		if err != nil {
			return err
		}
		defer cleanup()
	}
	i, err := newInstance(o, out)
	if err != nil {
		return err
	}
	next, err := i.serve(ctx)
	switch {
	case err != nil && i.handed != nil && i.handed.Previous != "" && !i.ready.Load():
		return i.back(err)
	case err != nil || next == nil:
		return err
	}
	return i.next(next)
}

// reason returns the last part of a network error: "address already in use".
func reason(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}

// caddyConfig is the configuration of the Caddy around us. It is made here and
// not by a Caddyfile, so that nothing needs to be configured.
func caddyConfig(c *serverconfig.Config, settings map[string]string, open sockets) ([]byte, error) {
	listeners := open.caddy()
	given := map[string]string{}
	for _, name := range []string{"http", "https", "front-tcp"} {
		if address, open := listeners[name]; open {
			given[name] = address
		}
	}
	app, err := json.Marshal(caddymodules.App{Home: c.Home, Settings: settings, SSHListen: listeners["ssh"], Sockets: given})
	if err != nil {
		return nil, err
	}
	return caddymodules.BaseConfig(caddymodules.BaseOptions{
		Home:            c.Home,
		App:             app,
		HTTPPort:        c.HTTPPort,
		HTTPSPort:       c.HTTPSPort,
		BindHost:        c.Bind,
		TrustedProxies:  c.TrustedProxies,
		HTTP3:           c.Proxy == front.Own,
		Fronted:         c.Proxy != front.Own,
		RPCAddress:      net.JoinHostPort(c.Host, strconv.Itoa(c.Port)),
		ControlHosts:    []string{c.ControlHost()},
		ControlHandlers: []json.RawMessage{json.RawMessage(`{"handler":"hop3_rpc"}`), json.RawMessage(`{"handler":"static_response","status_code":404,"body":"Hop3: there is nothing here but the API.\n"}`)},
		ACME: caddymodules.ACMEOptions{
			SelfSigned: c.ACME.Engine == "self-signed", Directory: c.ACME.Server, Email: c.ACME.Email, RootCA: c.ACME.RootCA,
			KeyID: c.ACME.KeyID, MACKey: c.ACME.MACKey, DNSProvider: c.ACME.DNSProvider, DNSSettings: c.ACME.DNSConfig,
			Resolvers: c.ACME.Resolvers, Storage: c.ACME.Storage,
		},
		LogLevel:  c.LogLevel,
		Listeners: listeners,
	})
}

// validate provisions what the configuration asks for, and starts none of it.
func validate(c *serverconfig.Config, settings map[string]string) error {
	made, err := caddyConfig(c, settings, nil)
	if err != nil {
		return err
	}
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON(made, &config); err != nil {
		return err
	}
	return caddy.Validate(&config)
}

// startError makes a sentence of an error of caddy.Load, whose chain repeats
// how Caddy came to the app.
func startError(err error) error {
	if hop3.CodeOf(err) != hop3.CodeInternal {
		return hop3.Errorf(hop3.CodeOf(err), "%s", hop3.MessageOf(err))
	}
	return fmt.Errorf("starting the server: %w", err)
}
