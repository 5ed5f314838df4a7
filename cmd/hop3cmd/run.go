package hop3cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/abilian/hop3/caddymodules"
	"github.com/abilian/hop3/hop3"
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
}

func runCommand() *cobra.Command {
	var o runOptions
	values := map[string]*string{}
	cmd := &cobra.Command{
		Use:     "run",
		Aliases: []string{"serve"},
		Short:   "Run the server: proxy, git over SSH, processes, API, all in this process",
		Long: `Run the whole server in this process until it is interrupted.

The apps go on running when the server ends, and the next one adopts them,
unless --stop-apps is given.`,
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
	cmd.Flags().BoolVar(&o.stopApps, "stop-apps", false, "stop the apps when the server ends")
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

// run is `hop3 run`.
func run(ctx context.Context, o runOptions, out io.Writer) (err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.demo {
		cleanup, err := prepareDemo(&o)
		if err != nil {
			return err
		}
		defer cleanup()
	}
	config, err := serverconfig.Load(serverconfig.Options{Flags: o.settings, NoFiles: o.demo})
	if err != nil {
		return err
	}
	if err := preflight(config); err != nil {
		return err
	}
	caddyJSON, err := caddyConfig(config, o.settings)
	if err != nil {
		return err
	}
	if err := caddy.Load(caddyJSON, true); err != nil {
		return startError(err)
	}
	defer func() {
		if stopErr := shutdown(config.Home, o.stopApps, out); err == nil {
			err = stopErr
		}
	}()
	p := caddymodules.Platform(config.Home)
	if err := caddymodules.GitInstalled(ctx, config.Home); err != nil {
		fmt.Fprintf(out, "Warning: nobody can push: %s\n\n", hop3.MessageOf(err))
	}
	if err := firstRun(ctx, p, out); err != nil {
		return err
	}
	banner(out, config, o.settings["home"] != "")
	// What only the start needed goes back; an idle server would keep it long.
	debug.FreeOSMemory()
	if o.demo {
		if err := pushDemo(ctx, p, config, out); err != nil {
			return err
		}
	}
	<-ctx.Done()
	stop() // a second Ctrl-C ends the process at once
	return nil
}

// preflight finds what would make the start fail, before anything is started.
func preflight(config *serverconfig.Config) error {
	if err := serverconfig.Prepare(config); err != nil {
		return err
	}
	lock, err := serverconfig.LockHome(config.Home)
	if err != nil {
		return err
	}
	defer lock.Close()
	for _, l := range []struct {
		what, host, setting string
		port                int
	}{
		{"HTTP", config.Bind, "http-port", config.HTTPPort},
		{"HTTPS", config.Bind, "https-port", config.HTTPSPort},
		{"SSH", config.Bind, "ssh-port", config.SSHPort},
		{"the API", config.Host, "port", config.Port},
	} {
		if l.port == 0 {
			continue
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(l.host, strconv.Itoa(l.port)))
		if err != nil {
			return hop3.Errorf(hop3.CodeUnavailable, "port %d, for %s, cannot be used: %s", l.port, l.what, reason(err)).
				WithHint("Stop what uses it, or choose another one with --%s.", l.setting)
		}
		listener.Close()
	}
	return nil
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
func caddyConfig(c *serverconfig.Config, settings map[string]string) ([]byte, error) {
	app, err := json.Marshal(caddymodules.App{Home: c.Home, Settings: settings})
	if err != nil {
		return nil, err
	}
	return caddymodules.BaseConfig(caddymodules.BaseOptions{
		Home:            c.Home,
		App:             app,
		HTTPPort:        c.HTTPPort,
		HTTPSPort:       c.HTTPSPort,
		BindHost:        c.Bind,
		HTTP3:           true,
		RPCAddress:      net.JoinHostPort(c.Host, strconv.Itoa(c.Port)),
		ControlHosts:    []string{c.ControlHost()},
		ControlHandlers: []json.RawMessage{json.RawMessage(`{"handler":"hop3_rpc"}`), json.RawMessage(`{"handler":"static_response","status_code":404,"body":"Hop3: there is nothing here but the API.\n"}`)},
		Email:           c.ACMEEmail,
		ACMEDirectory:   c.ACMEServer,
		LogLevel:        c.LogLevel,
	})
}

// startError makes a sentence of an error of caddy.Load, whose chain repeats
// how Caddy came to the app.
func startError(err error) error {
	if hop3.CodeOf(err) != hop3.CodeInternal {
		return hop3.Errorf(hop3.CodeOf(err), "%s", hop3.MessageOf(err))
	}
	return fmt.Errorf("starting the server: %w", err)
}

// shutdown ends the server: listeners first, then open requests, for a
// bounded time.
func shutdown(home string, stopApps bool, out io.Writer) error {
	fmt.Fprintln(out, "\nShutting down: open requests are finished first.")
	if p := caddymodules.Platform(home); p != nil && stopApps {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := p.StopAll(ctx); err != nil {
			fmt.Fprintf(out, "Some apps did not stop: %v\n", err)
		}
	}
	if err := caddy.Stop(); err != nil {
		return fmt.Errorf("stopping the server: %w", err)
	}
	if !stopApps {
		fmt.Fprintln(out, "The apps go on running; the next `hop3 run` adopts them.")
	}
	return nil
}
