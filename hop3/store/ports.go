package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/abilian/hop3/hop3"
)

// ClaimPorts makes ports all that an app has, in one transaction. It returns a
// CodeConflict error naming the owner when one belongs to another app.
func (db *DB) ClaimPorts(ctx context.Context, app string, ports []hop3.Port) error {
	return db.change(ctx, func(tx *sql.Tx) error { return claimPorts(ctx, tx, app, ports) })
}

// Ports returns the claimed ports, ordered by number and protocol.
func (db *DB) Ports(ctx context.Context) ([]hop3.PortClaim, error) {
	claims, err := all(ctx, db.read, func(row scanner) (c hop3.PortClaim, err error) {
		err = row.Scan(&c.Number, &c.Protocol, &c.App, &c.Name, &c.Source)
		return c, err
	}, "SELECT number, protocol, app, name, source FROM ports ORDER BY number, protocol")
	if err != nil {
		return nil, fmt.Errorf("reading the ports: %w", err)
	}
	return claims, nil
}

// claimPorts goes by number, so that two apps that want the same ports do not
// wait for each other.
func claimPorts(ctx context.Context, tx *sql.Tx, app string, ports []hop3.Port) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM ports WHERE app = $1", app); err != nil {
		return fmt.Errorf("releasing the ports of %s: %w", app, err)
	}
	ports = slices.SortedFunc(slices.Values(ports), func(a, b hop3.Port) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Protocol, b.Protocol))
	})
	for _, p := range slices.CompactFunc(ports, hop3.Port.Is) {
		claimed, err := exec(ctx, tx, "INSERT INTO ports (number, protocol, app, name, source) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
			p.Number, p.Protocol, app, clean(p.Name), p.Source)
		if err != nil {
			return fmt.Errorf("claiming port %s for %s: %w", p, app, err)
		}
		if claimed {
			continue
		}
		var owner string
		err = tx.QueryRowContext(ctx, "SELECT app FROM ports WHERE number = $1 AND protocol = $2", p.Number, p.Protocol).Scan(&owner)
		if err != nil {
			return fmt.Errorf("claiming port %s for %s: %w", p, app, err)
		}
		return hop3.Errorf(hop3.CodeConflict, "Port %s of the host already belongs to app '%s'.", p, owner).
			WithHint("Choose another number in [[ports]] of hop3.toml; `hop3 ports` lists those that are taken.")
	}
	return nil
}
