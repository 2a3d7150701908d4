// standardwebhooks as its documentation uses it: the secret as it was shown, the body as it came, the three headers.
import { Webhook } from 'standardwebhooks';

const [step, text] = process.argv.slice(2);
const { secret, headers, body } = JSON.parse(text);
const steps = {
  verify: () => {
    try {
      return { verified: true, event: new Webhook(secret).verify(body, headers) };
    } catch (error) {
      return { verified: false, name: error.constructor.name };
    }
  },
};
console.log(JSON.stringify(steps[step]()));
