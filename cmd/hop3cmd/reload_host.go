package hop3cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/abilian/hop3/caddymodules"
	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/serverconfig"
)

// reloadCommands replace the image of the running server.
func reloadCommands(home *string) []*cobra.Command {
	var grace int
	var binary string
	reload := &cobra.Command{
		Use: "reload", Short: "Restart the running server with its new settings, refusing no connection", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return reloadServer(cmd, *home, caddymodules.ReloadRequest{})
		},
	}
	upgrade := &cobra.Command{
		Use: "upgrade [--binary <file>]", Short: "Install this program, or another, as the running server, and reload it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if binary == "" {
				var err error
				if binary, err = os.Executable(); err != nil {
					return fmt.Errorf("finding this program: %w", err)
				}
			}
			path, err := filepath.Abs(binary)
			if err != nil {
				return err
			}
			return reloadServer(cmd, *home, caddymodules.ReloadRequest{Binary: path})
		},
	}
	upgrade.Flags().StringVar(&binary, "binary", "", "the new program (default: this one)")
	for _, c := range []*cobra.Command{reload, upgrade} {
		c.Flags().IntVar(&grace, "grace", 0, "seconds for requests, pushes and deploys under way (default: 15 and 120)")
	}
	return []*cobra.Command{reload, upgrade}
}

// reloadWait is how long a client follows a reload: longer than one may take.
const reloadWait = 8 * time.Minute

// reloadServer asks the running server to reload, and waits until it serves.
func reloadServer(cmd *cobra.Command, home string, request caddymodules.ReloadRequest) error {
	if cmd.Flags().Changed("grace") {
		seconds, err := cmd.Flags().GetInt("grace")
		if err != nil {
			return err
		}
		if seconds < 0 {
			return hop3.Errorf(hop3.CodeInvalid, "--grace is a number of seconds, not %d", seconds)
		}
		request.Grace = &seconds
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), reloadWait)
	defer cancel()
	settings := homeFlag(home)
	// A mistake in the settings file must not hide where the home is: the
	// server is to tell of it, in its own words.
	config, err := serverconfig.Load(serverconfig.Options{Flags: settings})
	if err != nil {
		if config, err = serverconfig.Load(serverconfig.Options{Flags: settings, NoFiles: true}); err != nil {
			return err
		}
	}
	s := newProcessClient(config.Home)
	before, err := s.state(ctx)
	if err != nil {
		return hop3.Errorf(hop3.CodeUnavailable, "no server answers on %s: %s", config.Home, reason(err)).
			WithHint("Start one with `hop3 run`. For another home, say --home.")
	}
	began := time.Now()
	id, err := s.reload(ctx, request)
	if err != nil {
		return err
	}
	after, err := s.follow(ctx, id)
	if err != nil {
		return err
	}
	if after.Reload.Error != "" {
		return hop3.Errorf(hop3.CodeUnavailable, "the new program could not start, and %s serves again: %s", before.Version, after.Reload.Error)
	}
	what := "Reloaded"
	if request.Binary != "" {
		what = fmt.Sprintf("Upgraded from %s to %s", before.Version, after.Version)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s in %.1f s; the server's process is %d.\n", what, time.Since(began).Seconds(), after.PID)
	return err
}

// processClient asks a server about its process.
type processClient struct{ http *http.Client }

func newProcessClient(home string) *processClient {
	return &processClient{http: &http.Client{
		Transport: &http.Transport{
			// The server that answers next may be another image.
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", hostSocketPath(home))
			},
		},
	}}
}

func (s *processClient) state(ctx context.Context) (caddymodules.ProcessState, error) {
	var state caddymodules.ProcessState
	return state, s.do(ctx, "GET", "http://localhost/host/process", nil, &state)
}

func (s *processClient) reload(ctx context.Context, request caddymodules.ReloadRequest) (id string, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return "", err
	}
	var answer caddymodules.ReloadAnswer
	if err := s.do(ctx, "POST", "http://localhost/host/reload", bytes.NewReader(body), &answer); err != nil {
		return "", err
	}
	return answer.ID, nil
}

// follow waits until the image serves that a reload has led to.
func (s *processClient) follow(ctx context.Context, id string) (caddymodules.ProcessState, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		// Between two images nobody answers.
		if state, err := s.state(ctx); err == nil && state.Reload.ID == id && state.Ready {
			return state, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return caddymodules.ProcessState{}, hop3.Errorf(hop3.CodeUnavailable, "the server did not come back: %w", ctx.Err()).
				WithHint("Its log says why.")
		}
	}
}

func (s *processClient) do(ctx context.Context, method, url string, body io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	res, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= http.StatusBadRequest {
		var answer caddymodules.ReloadAnswer
		if err := json.Unmarshal(data, &answer); err != nil || answer.Error == "" {
			return errors.New(res.Status)
		}
		return &hop3.Error{Code: hop3.CodeConflict, Message: answer.Error, Hint: answer.Hint}
	}
	return json.Unmarshal(data, into)
}
