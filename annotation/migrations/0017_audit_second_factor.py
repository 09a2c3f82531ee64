"""Second factors in the audit log: that one came, went or changed, never what it is."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("annotation", "0016_form_that_fits"), ("mfa", "0003_authenticator_type_uniq")]

    operations = [
        migrations.RunSQL(
            "SELECT rankloop_audit_table('mfa_authenticator', '{data}', '{last_used_at}');",
            "SELECT rankloop_audit_table_no_more('mfa_authenticator');",
        )
    ]
