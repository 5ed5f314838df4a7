package caddymodules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/services"
	"github.com/abilian/hop3/hop3/store"
)

// addonServer is what providers of addons work with.
type addonServer struct {
	settings map[string]string
	services *services.Services
}

// Setting implements hop3.AddonServer.
func (s addonServer) Setting(key string) string { return s.settings[key] }

// Services implements hop3.AddonServer.
func (s addonServer) Services() hop3.Services { return s.services }

// useAddons has the server make addons by these providers. It counts once, in
// the life of a server: they hold connections.
func (c *core) useAddons(providers []hop3.AddonProvider) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.started {
		c.providers = providers
	}
}

// openAddons opens the server's own services, with those that are meant to
// run, and the providers. The lock is held by the caller.
func (c *core) openAddons() (err error) {
	home, db := c.config.Home, c.store
	c.services, err = services.Open(services.Options{
		Dir: filepath.Join(home, "services"), RunDir: filepath.Join(home, "run", "services"), Sandbox: c.box, Logger: c.logger.Named("services"),
		Reserved: func() (map[int]bool, error) { return claimedPorts(db) },
	})
	if err != nil {
		return err
	}
	for _, provider := range c.providers {
		if err := provider.Open(addonServer{c.config.Addons, c.services}); err != nil {
			return fmt.Errorf("opening the addons of type %s: %w", provider.Name(), err)
		}
	}
	return nil
}

// claimedPorts returns those of apps, also of apps that do not run.
func claimedPorts(db *store.DB) (map[int]bool, error) {
	claims, err := db.Ports(context.Background())
	claimed := map[int]bool{}
	for _, claim := range claims {
		claimed[claim.Number] = true
	}
	return claimed, err
}

// HaltServices stops the databases and other services that the server of a home
// runs itself, until the next server starts them. It does nothing where there
// is none.
func HaltServices(ctx context.Context, home string) error {
	if c := running(home); c != nil && c.services != nil {
		return c.services.Halt(ctx)
	}
	return nil
}

// closeAddons lets go of the services, which run on, and of the providers'
// connections.
func (c *core) closeAddons() error {
	var err error
	for _, provider := range c.providers {
		if closer, ok := provider.(io.Closer); ok {
			err = errors.Join(err, closer.Close())
		}
	}
	return errors.Join(err, c.services.Close())
}
