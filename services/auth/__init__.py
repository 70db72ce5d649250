"""auth: who is calling.

Owns users, organizations, members, sessions, API keys, invites, audit entries, signing keys. Calls
nobody. Publishes OrganizationCreated, OrganizationUpdated, MemberChanged and MemberRemoved.
A person's own rows (user, password) are guarded by the person's id, everything else by the
organization's.
"""
