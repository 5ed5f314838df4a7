package store

import (
	"encoding/json"
	"fmt"

	"github.com/abilian/hop3/hop3"
)

// accounts is the column of that name.
type accounts struct {
	Admin *hop3.Account `json:"admin,omitempty"`
	Probe *hop3.Account `json:"probe,omitempty"`
}

func accountsPlace(app string) string { return appPlace(app) + "/accounts" }

func (db *DB) sealAccounts(app hop3.App) (string, error) {
	text, err := json.Marshal(accounts{app.Admin, app.Probe})
	return db.seal.seal(accountsPlace(app.Name), string(text)), err
}

func (db *DB) openAccounts(app *hop3.App, value string) error {
	text, err := db.seal.open(accountsPlace(app.Name), value)
	if err != nil {
		return fmt.Errorf("reading the accounts of %s: %w", app.Name, err)
	}
	var a accounts
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return fmt.Errorf("reading the accounts of %s: %w", app.Name, err)
	}
	app.Admin, app.Probe = a.Admin, a.Probe
	return nil
}
